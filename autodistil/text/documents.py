"""Documents, and what a source of them is."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

_DOCUMENT_CHARS = 200_000
"""Longer texts (books) are cut, so that the held-out share is one of text and memory is bounded."""


@dataclass(frozen=True)
class Document:
    """A text, and how far into its source it reaches.

    Attributes:
        text: The text, 200,000 characters at most.
        end: How much of the source has been read, in the unit of `CorpusSource.size`.
        whole: It is a sentence as it is, never to be split into more.
    """

    text: str
    end: int
    whole: bool = False


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
class WholeTexts:
    """A source whose texts are sentences, each a document of its own and never split further.

    Attributes:
        source: The source; of text files, one that is read by line.
    """

    source: CorpusSource

    @property
    def name(self) -> str:
        """Name of the source."""
        return self.source.name

    def size(self) -> int | None:
        """Size of the source."""
        return self.source.size()

    def fingerprint(self) -> str:
        """sha256 over that of the source: the same text split otherwise is another corpus."""
        return hashlib.sha256(f"sentences:{self.source.fingerprint()}".encode()).hexdigest()

    def documents(self) -> Iterator[Document]:
        """The texts as they are.

        Raises:
            InvalidInput: The source cannot be read.
        """
        return (replace(document, whole=True) for document in self.source.documents())


def cut(text: str) -> Iterator[str]:
    """A text in documents of 200,000 characters."""
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can hold and UTF-8 cannot
        text = text.encode(errors="replace").decode()
    for start in range(0, len(text), _DOCUMENT_CHARS):
        yield text[start : start + _DOCUMENT_CHARS]
