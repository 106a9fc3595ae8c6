"""Files that are whole at any time."""

from pathlib import Path

import pytest

from autodistil.errors import InvalidInput
from autodistil.families.architecture import Architecture
from autodistil.files import read_json_model, replacing, write_json_model

SIZES = Architecture(layers=2, hidden=16, heads=2, head_width=8, intermediate=32)


def test_a_file_is_replaced_when_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_fails_leaves_the_old_file_and_the_next_writer_is_not_hindered(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as partial:
        partial.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    with replacing(path) as partial:
        partial.write_text("new")
    assert path.read_text() == "new"


def test_a_model_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.json"
    write_json_model(SIZES, path)
    assert read_json_model(Architecture, path, "shape", 1000) == SIZES
    with pytest.raises(InvalidInput, match=r"x.json is too large for a shape \(10 bytes at most\)"):
        read_json_model(Architecture, path, "shape", 10)
    path.write_text("[]")
    with pytest.raises(InvalidInput, match="x.json is no shape: "):
        read_json_model(Architecture, path, "shape", 1000)


def test_what_cannot_be_written_or_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="x.json cannot be written: "):
        write_json_model(SIZES, tmp_path / "file" / "x.json")
    with pytest.raises(InvalidInput, match="The shape .* cannot be read: No such file"):
        read_json_model(Architecture, tmp_path / "none.json", "shape", 1000)
