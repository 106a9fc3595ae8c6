"""Text in files: plain, or the `text` of records."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TextIO

from autodistil.errors import InvalidInput
from autodistil.text.documents import Document, cut
from autodistil.text.encodings import not_text, open_text
from autodistil.text.records import json_line_texts, json_texts, table_texts
from autodistil.text.source_files import files_with, has_suffix, hash_files, listed

_RECORDS: dict[str, Callable[[Path, TextIO], Iterator[str]]] = {
    ".jsonl": json_line_texts,
    ".ndjson": json_line_texts,
    ".json": json_texts,
    ".csv": partial(table_texts, tabs=False),
    ".tsv": partial(table_texts, tabs=True),
}
_KINDS = (".txt", *_RECORDS)
_SUFFIXES = (*_KINDS, *(f"{kind}.gz" for kind in _KINDS))
_CHARS = 200_000


@dataclass(frozen=True)
class TextFiles:
    """A file, or every file in a folder that is read by its name, in capitals or not, .gz or not.

    *.txt is plain text. Of *.jsonl and *.ndjson (JSON Lines), *.json (an array of objects, or JSON
    Lines), *.csv, and *.tsv the field or column `text` is read. Anything else is refused, never
    taken for plain text. The size is in bytes on disk. Apart from a line or record, no more than
    200,000 characters of a file are held in memory.

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
            InvalidInput: There are none, or it is a file of another kind.
        """
        files = files_with(self.path, _SUFFIXES)
        if not has_suffix(files[0], _SUFFIXES):
            raise InvalidInput(
                f"{files[0]}: text is read from files named {listed(_KINDS)}, with .gz or not. "
                f"Rename it if it is one of them; give parquet and arrow files as "
                f"dataset:{files[0]}."
            )
        return files

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
            InvalidInput: There is no such file, or nothing in it; a record has no `text`; a file
                is no text, damaged, or in another encoding than `open_text` reads.
        """
        before, files = 0, self.files()
        if not self.size():
            raise InvalidInput(f"{self.path} is empty; a corpus needs two texts at least.")
        for path in files:
            with open_text(path) as (raw, lines):
                for text in self._texts(path, lines):
                    yield Document(text, before + raw.tell())
            before += path.stat().st_size

    def _texts(self, path: Path, file: TextIO) -> Iterator[str]:
        if reader := _RECORDS.get(_kind(path)):
            return (part for text in reader(path, file) for part in cut(text))
        return _lines(path, file) if self.by_line else _prose(path, file)


def _kind(path: Path) -> str:
    """What a file's name says of its contents, compressed or not."""
    name = path.name.lower().removesuffix(".gz")
    return name[name.rfind(".") :] if "." in name else ""


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
