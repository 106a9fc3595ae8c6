"""Which sentences no training reads, so that students can be measured on them."""

import gzip
import hashlib
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from autodistil.errors import InvalidInput
from autodistil.text.source_files import files_with

_SHARE = 32
"""One sentence in so many is held out."""


def is_held_out(sentence: str) -> bool:
    """Whether a sentence is left out of training and kept for measuring.

    The sentence alone decides, by the first byte of its sha256: every program that asks gets the
    same answer, whatever files the sentence stands in and in which order they are read. About one
    sentence in 32 is held out. White space around the sentence does not count.
    """
    return _digest(sentence)[0] < 256 // _SHARE


def held_out_sentences(sources: Iterable[Path], most: int) -> list[str]:
    """The held-out sentences of files with one sentence a line, without repetitions.

    They come in the order of their sha256, so that the first of them are a random sample, the same
    one whatever the names and the order of the files.

    Args:
        sources: Files of plain text, .gz or not, or folders of .txt and .txt.gz files.
        most: How many to return at most.

    Raises:
        InvalidInput: A file is missing, damaged, or no text.
    """
    found = {_digest(line): line for line in _sentences(sources) if is_held_out(line)}
    return [found[digest] for digest in sorted(found)[:most]]


def training_sentences(sources: Iterable[Path]) -> list[str]:
    """The other sentences of such files, without repetitions, in the order of the files.

    Args:
        sources: As of `held_out_sentences`.

    Raises:
        InvalidInput: A file is missing, damaged, or no text.
    """
    return list(dict.fromkeys(line for line in _sentences(sources) if not is_held_out(line)))


def _sentences(sources: Iterable[Path]) -> Iterator[str]:
    for source in sources:
        for path in files_with(source, (".txt", ".txt.gz")):
            yield from (stripped for line in _lines(path) if (stripped := line.strip()))


def _digest(sentence: str) -> bytes:
    return hashlib.sha256(sentence.strip().encode(errors="surrogatepass")).digest()


def _lines(path: Path) -> Iterator[str]:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if "\0" in line:
                    raise InvalidInput(f"{path} is no text: it holds zero bytes.")
                yield line
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from error
