"""Where the text of a corpus comes from: files of text here, data sets in `dataset_sources`."""

import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, TextIO, cast

from autodistil.errors import InvalidInput

_SUFFIXES = (".jsonl", ".jsonl.gz", ".txt", ".txt.gz")
_DOCUMENT_CHARS = 200_000
"""Longer texts (books) are cut, so that the held-out share is one of text and memory is bounded."""


@dataclass(frozen=True)
class Document:
    """A text, and how far into its source it reaches.

    Attributes:
        text: The text, 200,000 characters at most.
        end: How much of the source has been read, in the unit of `CorpusSource.size`.
    """

    text: str
    end: int


class CorpusSource(Protocol):
    """Where text comes from, document by document."""

    @property
    def name(self) -> str:
        """What it is called in the provenance."""

    def size(self) -> int | None:
        """How much there is to read, in a unit of its own; None if that is not known."""

    def fingerprint(self) -> str:
        """A sha256 that changes with the text."""

    def documents(self) -> Iterator[Document]:
        """The documents, always in the same order.

        Raises:
            InvalidInput: The source cannot be read.
        """


@dataclass(frozen=True)
class TextFiles:
    """A file, or every file in a folder: JSONL with a `text` field, or plain text, .gz or not.

    Its size is in bytes on disk. Apart from a line of JSONL, no more than 200,000 characters of a
    file are held in memory.

    Attributes:
        path: The file or folder.
    """

    path: Path

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
        """sha256 over the names and contents of the files."""
        return hash_files(self.files())

    def documents(self) -> Iterator[Document]:
        """The texts, file after file.

        Raises:
            InvalidInput: There is no such file, a line is no JSON object with a `text`, a file is
                no text, or a .gz file is damaged.
        """
        before = 0
        for path in self.files():
            try:
                with path.open("rb") as raw, _as_text(path, raw) as lines:
                    for text in _texts(path, lines):
                        yield Document(text, before + raw.tell())
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise InvalidInput(f"{path} is no whole gzip file ({error}).") from error
            before += path.stat().st_size


def open_source(name: str) -> CorpusSource:
    """The source that a name stands for.

    Args:
        name: `hub:NAME[@REVISION][:CONFIG[:SPLIT]]`, a data set of the Hugging Face hub;
            `dataset:PATH`, parquet or arrow files; or the path of text, see `TextFiles`.

    Raises:
        InvalidInput: The data set of the hub cannot be found.
    """
    from autodistil.text.dataset_sources import DatasetFiles, find_hub_dataset

    kind, _, rest = name.partition(":")
    if kind == "hub":
        return find_hub_dataset(rest)
    if kind == "dataset":
        return DatasetFiles(Path(rest))
    return TextFiles(Path(name))


def files_with(source: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The file itself, or the files of a folder and its sub-folders by their endings, sorted.

    Raises:
        InvalidInput: There are none.
    """
    if source.is_file():
        return [source]
    files = sorted(p for p in source.rglob("*") if p.is_file() and p.name.endswith(suffixes))
    if not files:
        raise InvalidInput(f"{source}: no files named {', '.join('*' + s for s in suffixes)}.")
    return files


def hash_files(files: list[Path]) -> str:
    """sha256 over the names and contents of files.

    Raises:
        InvalidInput: One cannot be read.
    """
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode())
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error
    return digest.hexdigest()


def cut(text: str) -> Iterator[str]:
    """A text in documents of 200,000 characters."""
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can hold and UTF-8 cannot
        text = text.encode(errors="replace").decode()
    for start in range(0, len(text), _DOCUMENT_CHARS):
        yield text[start : start + _DOCUMENT_CHARS]


def _as_text(path: Path, raw: BinaryIO) -> TextIO:
    if path.suffix == ".gz":
        return cast(TextIO, gzip.open(raw, "rt", encoding="utf-8", errors="replace"))
    return io.TextIOWrapper(raw, encoding="utf-8", errors="replace")


def _texts(path: Path, lines: TextIO) -> Iterator[str]:
    if ".jsonl" not in path.name:
        while text := lines.read(_DOCUMENT_CHARS):
            if "\0" in text:
                raise InvalidInput(
                    f"{path} is no text: it holds zero bytes. Give parquet and arrow files as "
                    f"dataset:{path}."
                )
            yield text
        return
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
