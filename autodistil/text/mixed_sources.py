"""Several sources as one corpus, in the shares that the user wants."""

import hashlib
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from autodistil.errors import InvalidInput
from autodistil.text.documents import CorpusSource, Document
from autodistil.text.sources import open_source

_WEIGHTED = re.compile(r"(?P<name>.+)=(?P<weight>[0-9.eE+-]+)", re.DOTALL)


@dataclass(frozen=True)
class MixedSources:
    """Documents of several sources in turns; the next one is always of the source that is behind.

    With weights, the characters read of the sources stand in the ratio of the weights at any
    moment, but for a document, and the mix ends where the first source ends: were the others read
    on, the shares would no longer be those asked for. Nothing is read twice. Without weights the
    sources take equal turns, those that are left when one ends go on, and all text is read.

    Attributes:
        sources: The sources, two at least.
        weights: Of each source, more than 0; None: all of all sources.
    """

    sources: tuple[CorpusSource, ...]
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.weights is not None and len(self.weights) != len(self.sources):
            raise ValueError("every source needs a weight")

    @property
    def name(self) -> str:
        """Names of the sources, with the weights."""
        names = [source.name for source in self.sources]
        if self.weights is not None:
            names = [f"{name} x {w:g}" for name, w in zip(names, self.weights, strict=True)]
        return " + ".join(names)

    def size(self) -> int | None:
        """Sizes of the sources added up; None if one is not known or may not be read to its end."""
        if self.weights is not None:
            return None
        sizes = [source.size() for source in self.sources]
        known = [size for size in sizes if size is not None]
        return sum(known) if len(known) == len(sizes) else None

    def fingerprint(self) -> str:
        """sha256 over names, weights, and fingerprints of the sources."""
        rows = [(source.name, source.fingerprint()) for source in self.sources]
        return hashlib.sha256(json.dumps(["mix-1", rows, self.weights]).encode()).hexdigest()

    def documents(self) -> Iterator[Document]:
        """The documents, in an order that depends on nothing but the sources and weights.

        Raises:
            InvalidInput: A source cannot be read.
        """
        weights = self.weights or (1.0,) * len(self.sources)
        running = {place: source.documents() for place, source in enumerate(self.sources)}
        read, ends = [0.0] * len(weights), [0] * len(weights)
        while running:
            place = min(running, key=lambda one: (read[one], one))
            document = next(running[place], None)
            if document is None:
                if self.weights is not None:
                    return
                del running[place]
                continue
            read[place] += len(document.text) / weights[place]
            ends[place] = document.end
            yield Document(document.text, sum(ends), document.whole)


def open_corpus(names: Sequence[str]) -> CorpusSource:
    """The text that some names stand for together.

    Args:
        names: For each source what `open_source` takes, with `=WEIGHT` after it or not. If one has
            a weight, those without one have 1.

    Raises:
        InvalidInput: There is none, one cannot be found, or a weight is not more than 0.
    """
    if not names:
        raise InvalidInput("Name the text to read.")
    found = [_split_weight(name) for name in names]
    sources = tuple(open_source(name) for name, _ in found)
    if len(sources) == 1:
        return sources[0]
    if all(weight is None for _, weight in found):
        return MixedSources(sources)
    return MixedSources(sources, tuple(1.0 if w is None else w for _, w in found))


def _split_weight(name: str) -> tuple[str, float | None]:
    """A source's name and its weight; an existing path may end like one that has a weight."""
    match = _WEIGHTED.fullmatch(name)
    path = name.removeprefix("sentences:").removeprefix("dataset:")
    if match is None or Path(path).exists():
        return name, None
    try:
        weight = float(match["weight"])
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise InvalidInput(
            f"{name}: {match['weight']} is no weight; write a number more than 0, as in FOLDER=0.3."
        )
    return match["name"], weight
