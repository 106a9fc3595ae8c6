"""What a training reads: a corpus divided once into passages of one or more sentences.

A passage is a run of sentences of one document, so the same passage can be looked up in the tokens
of any vocabulary, and what the teacher says about it can be kept. Batches hold passages of about
equal length and are a function of (seed, number), so that a resumed run reads what an unbroken one
does.
"""

import hashlib
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from autodistil.text.corpus import TokenizedText

_CHUNK = 64
"""Batches whose passages are sorted by length together."""


@dataclass(frozen=True)
class Passages:
    """Runs of sentences.

    Attributes:
        first: First sentence of each passage, [passages].
        end: The sentence after its last one, [passages].
        tokens: Its tokens with the special ones, at most the longest length, [passages].
        sha256: Hash of the text's tokens and of where the passages begin and end.
    """

    first: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    tokens: npt.NDArray[np.int64]
    sha256: str

    def __len__(self) -> int:
        return len(self.first)


def divide(
    text: TokenizedText, lengths: tuple[int, ...], weights: tuple[float, ...], seed: int = 0
) -> Passages:
    """Divide a text into passages; every sentence is in one of them.

    Args:
        text: The text, in the teacher's tokens.
        lengths: Tokens that a passage may have, special ones included; one is drawn for each. A
            sentence that is longer is a passage of its own, and is cut when it is read.
        weights: How often each length is drawn.
        seed: Of the drawing.
    """
    rng = np.random.default_rng([seed, 0x9A55])
    shares = np.array(weights) / sum(weights)
    starts, documents = text.starts, text.documents
    drawn = rng.choice(lengths, size=len(text), p=shares).tolist()
    ends = starts.tolist()
    changes = (np.flatnonzero(np.diff(documents)) + 1).tolist()
    first: list[int] = []
    for low, high in pairwise([0, *changes, len(text)]):
        sentence = low
        while sentence < high:
            first.append(sentence)
            most = ends[sentence] + drawn[len(first) - 1] - text.special.around
            sentence += 1
            while sentence < high and ends[sentence + 1] <= most:
                sentence += 1
    begins = np.array(first, np.int64)
    stops = np.append(begins[1:], len(text))
    sizes = np.minimum(starts[stops] - starts[begins] + text.special.around, max(lengths))
    digest = hashlib.sha256(np.ascontiguousarray(text.ids).tobytes())
    for array in (starts, begins):
        digest.update(np.ascontiguousarray(array).tobytes())
    return Passages(begins, stops, sizes.astype(np.int64), digest.hexdigest())


class PassageBatches:
    """The batches of a training, pass after pass over the text.

    Args:
        passages: The passages.
        slots: Tokens of a batch, padding included.
        neighbours: Passages that stay together, in the order of the text.
        seed: Of the order.
    """

    def __init__(self, passages: Passages, slots: int, neighbours: int, seed: int) -> None:
        self._passages, self._slots = passages, slots
        self._neighbours, self._seed = min(neighbours, len(passages)), seed
        self._starts = [0]  # number of the first batch of each pass
        self._pass: tuple[int, list[npt.NDArray[np.int64]]] = (-1, [])

    def indices(self, number: int) -> npt.NDArray[np.int64]:
        """Indices of the passages of a batch, [rows]; at least two where there are two."""
        current = 0
        while current + 1 < len(self._starts) and self._starts[current + 1] <= number:
            current += 1
        while True:
            batches = self._order(current)
            if current + 1 == len(self._starts):
                self._starts.append(self._starts[current] + len(batches))
            if number < self._starts[current + 1]:
                return batches[number - self._starts[current]]
            current += 1

    def _order(self, number: int) -> list[npt.NDArray[np.int64]]:
        """The batches of one pass."""
        if self._pass[0] != number:
            self._pass = (number, self._draw(number))
        return self._pass[1]

    def _draw(self, number: int) -> list[npt.NDArray[np.int64]]:
        rng = np.random.default_rng([self._seed, 0xBA7C, number])
        tokens, near = self._passages.tokens, self._neighbours
        starts = np.arange(0, len(tokens), near)  # of blocks that stay together
        longest = np.maximum.reduceat(tokens, starts)
        order = rng.permutation(len(starts))
        mean = float(longest.mean()) * near
        chunk = max(1, int(_CHUNK * self._slots / mean))
        batches: list[npt.NDArray[np.int64]] = []
        lows = list(range(0, len(order), chunk))
        if len(lows) > 1 and lows[-1] == len(order) - 1:
            lows.pop()  # a block alone, perhaps of a single passage, joins those before it
        for low, high in pairwise([*lows, len(order)]):
            part = order[low:high]
            part = part[np.argsort(longest[part], kind="stable")]
            batches += self._cut(starts[part], longest[part])
        rng.shuffle(batches)
        return batches

    def _cut(
        self, starts: npt.NDArray[np.int64], longest: npt.NDArray[np.int64]
    ) -> list[npt.NDArray[np.int64]]:
        """Blocks by rising length, in batches of about so many slots."""
        sizes = np.minimum(starts + self._neighbours, len(self._passages)) - starts
        cuts, rows = [0], 0
        for place, (size, length) in enumerate(zip(sizes.tolist(), longest.tolist(), strict=True)):
            if rows >= 2 and (rows + size) * length > self._slots:
                cuts.append(place)
                rows = 0
            rows += size
        if rows < 2 and len(cuts) > 1:  # what is left over joins the batch before it
            cuts.pop()
        return [
            np.concatenate(
                [np.arange(s, s + n) for s, n in zip(starts[a:b], sizes[a:b], strict=True)]
            )
            for a, b in pairwise([*cuts, len(starts)])
        ]
