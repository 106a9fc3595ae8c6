"""Copies of bundles."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from autodistil.errors import InvalidBundle
from autodistil.superlm.bundle import (
    CANDIDATES,
    SPEC,
    WEIGHTS,
    SuperLM,
    copy_bundle,
    open_superlm,
)

Damage = Callable[[Path], object]


def test_a_copy_is_whole_and_equal(stock_superlm: SuperLM, tmp_path: Path) -> None:
    copied = copy_bundle(stock_superlm, tmp_path / "new" / "copy")
    assert copied == open_superlm(tmp_path / "new" / "copy")
    assert (copied.sha256, copied.spec) == (stock_superlm.sha256, stock_superlm.spec)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["copy"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / WEIGHTS).write_bytes(b"x"),
        lambda folder: (folder / WEIGHTS).unlink(),
        lambda folder: shutil.rmtree(folder),
        lambda folder: (folder / CANDIDATES).write_text("[]"),
        lambda folder: (folder / SPEC).write_text("{}"),
    ],
)
def test_a_failed_copy_leaves_nothing(stock_copy: SuperLM, tmp_path: Path, damage: Damage) -> None:
    damage(stock_copy.folder)
    with pytest.raises(InvalidBundle):
        copy_bundle(stock_copy, tmp_path / "target" / "copy")
    assert not (tmp_path / "target").exists() or not list((tmp_path / "target").iterdir())


def test_a_copy_of_a_file_turned_link_is_refused(stock_copy: SuperLM, tmp_path: Path) -> None:
    shutil.move(stock_copy.folder / CANDIDATES, tmp_path / "elsewhere")
    (stock_copy.folder / CANDIDATES).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidBundle, match="link"):
        copy_bundle(stock_copy, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_copy_never_replaces_what_is_there(stock_superlm: SuperLM, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(FileExistsError):
        copy_bundle(stock_superlm, tmp_path / "there")
    assert list(tmp_path.iterdir()) == [tmp_path / "there"]
