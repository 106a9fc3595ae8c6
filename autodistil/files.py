"""Files that are whole at any time, and JSON files of a known form."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from autodistil.errors import InvalidInput, explain

Model = TypeVar("Model", bound=BaseModel)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it becomes `path` when the block ends without an error.

    One process may write a path at a time. What a killed one left is overwritten by the next.
    """
    partial = path.with_name(path.name + ".partial")
    yield partial
    os.replace(partial, path)


def write_json_model(model: BaseModel, path: Path) -> None:
    """Write a model as indented JSON; missing folders are made.

    Raises:
        InvalidInput: The file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            partial.write_text(model.model_dump_json(indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}.") from error


def read_json_model(kind: type[Model], path: Path, what: str, most_bytes: int) -> Model:
    """Read a model from JSON.

    Args:
        kind: The class of the model.
        path: The file.
        what: What the file should hold, for messages.
        most_bytes: A larger file is refused unread.

    Raises:
        InvalidInput: It is missing, too large, or holds something else.
    """
    try:
        if path.stat().st_size > most_bytes:
            raise InvalidInput(f"{path} is too large for a {what} ({most_bytes:,} bytes at most).")
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InvalidInput(f"The {what} {path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        raise InvalidInput(f"{path} is no {what}: {explain(error)}.") from error
