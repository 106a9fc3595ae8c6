"""Text in files: plain, or the `text` of records."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from autodistil.errors import InvalidInput
from autodistil.text.encodings import not_text, open_text
from autodistil.text.source_files import files_with, hash_files
from autodistil.text.sources import Document, cut

_SUFFIXES = (".jsonl", ".jsonl.gz", ".txt", ".txt.gz")
_CHARS = 200_000


@dataclass(frozen=True)
class TextFiles:
    """A file, or every file in a folder: JSONL with a `text` field, or plain text, .gz or not.

    Its size is in bytes on disk. Apart from a line, no more than 200,000 characters of a file are
    held in memory.

    Attributes:
        path: The file or folder.
        by_line: Every line of plain text is a document, blank ones left out; else a file is one, or
            several if it is long.
    """

    path: Path
    by_line: bool = False

    @property
    def name(self) -> str:
        """Name of the file or folder."""
        return self.path.resolve().name

    def files(self) -> list[Path]:
        """The files in a fixed order.

        Raises:
            InvalidInput: There are none.
        """
        return files_with(self.path, _SUFFIXES)

    def size(self) -> int:
        """Bytes of the files as they are, compressed or not."""
        return sum(path.stat().st_size for path in self.files())

    def fingerprint(self) -> str:
        """sha256 over the names and contents of the files, and how they are read."""
        found = hash_files(self.files())
        return hashlib.sha256(f"lines:{found}".encode()).hexdigest() if self.by_line else found

    def documents(self) -> Iterator[Document]:
        """The texts, file after file.

        Raises:
            InvalidInput: There is no such file, or nothing in it; a line is no JSON object with a
                `text`; a file is no text, in another encoding than `open_text` reads, or damaged.
        """
        before, files = 0, self.files()
        if not self.size():
            raise InvalidInput(f"{self.path} is empty; a corpus needs two texts at least.")
        for path in files:
            with open_text(path) as (raw, lines):
                for text in self._texts(path, lines):
                    yield Document(text, before + raw.tell())
            before += path.stat().st_size

    def _texts(self, path: Path, lines: TextIO) -> Iterator[str]:
        if ".jsonl" in path.name:
            return _json_lines(path, lines)
        return _lines(path, lines) if self.by_line else _prose(path, lines)


def _prose(path: Path, lines: TextIO) -> Iterator[str]:
    while text := lines.read(_CHARS):
        _check_text(path, text)
        yield text


def _lines(path: Path, lines: TextIO) -> Iterator[str]:
    for line in lines:
        _check_text(path, line)
        if line.strip():
            yield from cut(line.strip())


def _check_text(path: Path, text: str) -> None:
    if "\0" in text:
        raise not_text(path)


def _json_lines(path: Path, lines: TextIO) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            text = json.loads(line)["text"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InvalidInput(
                f"{path}, line {number}: not a JSON object with a 'text' field ({error})."
            ) from error
        if not isinstance(text, str):
            raise InvalidInput(f"{path}, line {number}: 'text' is not a string.")
        yield from cut(text)
