"""Embedders that embed no text twice, and those of one comparison."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autodistil.downstream.embedder import Embedder, OnTexts, Vectors, open_embedder


class RememberingEmbedder:
    """Makes the vector of a text once: many measures of one model read the same texts.

    Args:
        embedder: Makes the vectors.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[str, NDArray[np.float32]] = {}

    def encode(self, texts: Sequence[str], on_texts: OnTexts = lambda done, total: None) -> Vectors:
        """Vectors of texts, [texts, width], in the order of the texts."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known.update(zip(new, self._embedder.encode(new, on_texts), strict=True))
        return np.stack([self._known[text] for text in texts])


class Embedders:
    """The embedders of a comparison: the last one asked for, and the reference's.

    Args:
        reference: Hash of the model that others are compared with; None without one.
    """

    def __init__(self, reference: str | None = None) -> None:
        self._reference = reference
        self._open: dict[str, RememberingEmbedder] = {}

    def open(self, sha256: str, folder: Path) -> RememberingEmbedder:
        """The embedder of a model, with the vectors that it made before.

        Args:
            sha256: Hash of the model.
            folder: Where it is.

        Raises:
            InvalidInput: There is no embedder in the folder.
        """
        if sha256 not in self._open:
            kept = {key: e for key, e in self._open.items() if key == self._reference}
            self._open = {**kept, sha256: RememberingEmbedder(open_embedder(folder))}
        return self._open[sha256]
