from pathlib import Path

import pytest

from autodistil.errors import InvalidInput
from autodistil.output_folder import appearing, check_unused


def fill(folder: Path) -> None:
    with appearing(folder) as partial:
        assert list(partial.iterdir()) == []
        (partial / "inner").mkdir()
        (partial / "inner" / "file").write_text("whole")
        assert not folder.exists() or not list(folder.iterdir())


def whole(folder: Path) -> bool:
    return (folder / "inner" / "file").read_text() == "whole"


@pytest.mark.parametrize("name", ["new", "deep/er/new", "empty", "n" * 255])
def test_a_missing_or_empty_folder_appears_whole(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    fill(tmp_path / name)
    assert whole(tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == {"empty", name.split("/")[0]}


def test_a_relative_folder_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fill(Path("here"))
    assert whole(tmp_path / "here")


def test_a_link_to_an_empty_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to("target")
    fill(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert whole(tmp_path / "target")


def test_what_is_taken_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("mine")
    (tmp_path / "nowhere").symlink_to("missing")
    for name in ("file", "full", "nowhere"):
        with pytest.raises(InvalidInput, match=f"{name} is there already and not empty"):
            check_unused(tmp_path / name)
        with pytest.raises(InvalidInput, match="name another folder"):
            fill(tmp_path / name)
    assert (tmp_path / "file").read_text() == (tmp_path / "full" / "x").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_appears_when_the_block_fails(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), appearing(tmp_path / "new") as partial:
        (partial / "half").write_text("half")
        raise error
    assert not list(tmp_path.iterdir())


def test_a_folder_that_was_filled_meanwhile_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="meanwhile"), appearing(tmp_path / "new") as partial:
        (partial / "mine").touch()
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "theirs").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "theirs"]


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match="cannot be written"):
        fill(tmp_path / "file" / "new")
