"""The values in a JSON file one by one, however large the file is."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from autodistil.errors import InvalidInput

_CHARS = 1 << 16
"""Read at a time."""
_LARGEST = 1 << 26
"""Characters of a value; a longer one is damage, for which the file is not read to its end."""
_SPACE = re.compile(r"[ \t\r\n]*")


def json_values(path: Path, file: TextIO) -> Iterator[Any]:
    """The elements of an array, or values with nothing but space between them.

    Args:
        path: For messages.
        file: The file.

    Raises:
        InvalidInput: The file is neither.
    """
    rest, count = _Rest(file), 0

    def value() -> Any:
        nonlocal count
        count += 1
        try:
            return rest.value()
        except (ValueError, RecursionError) as error:
            what = error.msg if isinstance(error, json.JSONDecodeError) else error
            raise InvalidInput(
                f"{path}, item {count}: neither an array of JSON objects nor one object a line "
                f"({what})."
            ) from error

    if not rest.take("["):
        while rest.next():
            yield value()
        return
    if not rest.take("]"):
        yield value()
        while not rest.take("]"):
            if not rest.take(","):
                raise InvalidInput(
                    f"{path}: the array goes wrong or breaks off after item {count}."
                )
            yield value()
    if rest.next():
        raise InvalidInput(f"{path}: something follows the array.")


class _Rest:
    """What is left of a file, of which little is in memory."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text, self._place = "", 0
        self._decoder = json.JSONDecoder()

    def next(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            match = _SPACE.match(self._text, self._place)
            self._place = match.end() if match else self._place
            if self._place < len(self._text):
                return self._text[self._place]
            if not self._read():
                return ""

    def take(self, mark: str) -> bool:
        """Go beyond a character if it is the next one."""
        found = self.next() == mark
        self._place += found
        return found

    def value(self) -> Any:
        """Go beyond a value.

        Raises:
            ValueError: There is none.
            RecursionError: It is nested too deeply.
        """
        self.next()
        while True:
            try:
                found, self._place = self._decoder.raw_decode(self._text, self._place)
            except ValueError:
                if len(self._text) - self._place > _LARGEST or not self._read():
                    raise
            else:
                return found

    def _read(self) -> bool:
        left = len(self._text) - self._place
        more = self._file.read(max(_CHARS, left))  # twice as much each time: tried log times
        self._text, self._place = self._text[self._place :] + more, 0
        return bool(more)
