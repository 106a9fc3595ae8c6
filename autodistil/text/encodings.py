"""Bytes to characters: UTF-8, or UTF-16 and UTF-32 if a mark at the start says so.

Nothing is guessed and nothing replaced: a wrong guess would train students on letters that the text
does not have, and nobody would notice.
"""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from autodistil.errors import InvalidInput

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_GZIP = b"\x1f\x8b"
_GZIP_ERRORS = (EOFError, gzip.BadGzipFile, zlib.error)
_HEAD = 4096
_CONTROL = set(range(32)) - set(b"\t\n\v\f\r\x1b")
"""Bytes that text does not have."""


@contextmanager
def open_text(path: Path) -> Iterator[tuple[BinaryIO, TextIO]]:
    """The bytes of a file, and its characters, decompressed if its name ends in .gz.

    Where the bytes stand says how much was read.

    Raises:
        InvalidInput: It is missing, damaged, no text, or in another encoding. What is wrong may be
            found only while it is read.
    """
    packed = path.name.lower().endswith(".gz")
    try:
        with path.open("rb") as raw:
            stream = gzip.GzipFile(fileobj=raw) if packed else raw
            encoding, mark = _encoding(path, stream.peek(_HEAD)[:_HEAD])
            stream.read(len(mark))
            with io.TextIOWrapper(cast(BinaryIO, stream), encoding=encoding) as text:
                yield raw, text
    except UnicodeDecodeError as error:
        raise _wrong_encoding(path, packed) from error
    except _GZIP_ERRORS as error:
        raise _damaged(path, error) from error
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror or error}.") from error


def _damaged(path: Path, error: Exception) -> InvalidInput:
    return InvalidInput(f"{path} is no whole gzip file ({error}); copy or download it again.")


def _encoding(path: Path, head: bytes) -> tuple[str, bytes]:
    """The encoding of a file and the mark that says so, by its first bytes."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, mark
    if head.startswith(_GZIP):
        raise InvalidInput(f"{path} is a gzip file; give it a name that ends in .gz.")
    if b"\0" in head:
        raise not_text(path)
    return "utf-8", b""


def not_text(path: Path) -> InvalidInput:
    """The error of a file that holds zero bytes."""
    return InvalidInput(
        f"{path} is no text: it holds zero bytes. Give parquet and arrow files as dataset:{path}; "
        "save text in UTF-16 with a byte-order mark, or as UTF-8."
    )


def _wrong_encoding(path: Path, packed: bool) -> InvalidInput:
    with gzip.open(path) if packed else path.open("rb") as file:
        head = file.read(_HEAD)
        encoding, mark = _encoding(path, head)
        file.seek(len(mark))
        place, byte = _first_wrong(cast(BinaryIO, file), encoding, len(mark))
        try:
            while packed and file.read(1 << 20):  # to its end, where its checksum is
                pass
        except _GZIP_ERRORS as error:
            return _damaged(path, error)
    where = f"byte {place:,}{' of its text' if packed else ''}, counted from 0, is {byte:#04x}"
    if encoding != "utf-8":
        name = encoding.removesuffix("-le").removesuffix("-be").upper()
        return InvalidInput(f"{path} says that it is {name}, and is not: {where}.")
    if _CONTROL & set(head):
        return InvalidInput(f"{path} is no text: {where}, and there are control characters.")
    unpack, given = (f"gzip -dc '{path}' | ", "") if packed else ("", f" '{path}'")
    return InvalidInput(
        f"{path} is not UTF-8: {where}. Convert it first; if it is Windows-1252 or Latin-1: "
        f"{unpack}iconv -f WINDOWS-1252 -t UTF-8{given} > utf-8.txt"
    )


def _first_wrong(file: BinaryIO, encoding: str, place: int) -> tuple[int, int]:
    """Where the first byte is that cannot be decoded, counted from 0, and which.

    Args:
        file: Bytes, one of which at least is wrong, after the mark.
        encoding: Their encoding.
        place: How many were read before.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    while True:
        chunk = file.read(1 << 16)
        left = decoder.getstate()[0]
        try:
            decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            return place - len(left) + error.start, (left + chunk)[error.start]
        if not chunk:
            raise AssertionError("the file has changed while it was read")
        place += len(chunk)
