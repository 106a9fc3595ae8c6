"""A folder that appears only when everything in it is right."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autodistil.errors import InvalidInput


def check_unused(folder: Path) -> None:
    """Refuse a folder that something else would be overwritten in; asked before long work.

    Raises:
        InvalidInput: The path is taken by a file, or by a folder that is not empty.
    """
    if os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput(f"{folder} is there already and not empty; name another folder.")


@contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """An empty folder to fill; it becomes `folder` when the block ends, and goes if it fails.

    Args:
        folder: An empty or missing folder; missing parents are made.

    Raises:
        InvalidInput: The folder is taken, before the block or since, or cannot be written.
    """
    check_unused(folder)
    folder = folder.resolve()  # a link to a folder stays one, and '.' has a name
    partial = folder.with_name(
        f".{uuid.uuid4().hex}.partial"
    )  # beside it, so that a move is atomic
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be written: {error.strerror}.") from error
    try:
        yield partial
        _move(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _move(partial: Path, folder: Path) -> None:
    try:
        if folder.is_dir():
            folder.rmdir()
        partial.rename(folder)
    except OSError as error:
        raise InvalidInput(
            f"{folder} was filled by something else meanwhile, or cannot be written: "
            f"{error.strerror}."
        ) from error
