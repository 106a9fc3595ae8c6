"""Retrieval: whether an embedder finds what the teacher finds."""

import numpy as np
from numpy.typing import NDArray

from autodistil.downstream.embedder import Vectors

NEAREST = 10
"""Documents that a query is answered with."""

Found = NDArray[np.int64]
"""Indices of the documents nearest to each query, [queries, NEAREST], in no order."""


def nearest(queries: Vectors, documents: Vectors) -> Found:
    """The documents nearest to each query by cosine.

    Args:
        queries: [queries, width].
        documents: More than `NEAREST` of them, [documents, width].
    """
    cosines = _unit(queries) @ _unit(documents).T
    found: Found = np.argpartition(cosines, -NEAREST, axis=1)[:, -NEAREST:]
    return found


def recall(found: Found, wanted: Found) -> float:
    """Share of the wanted documents that were found."""
    hits = (found[:, :, None] == wanted[:, None, :]).any(axis=1)
    return float(hits.mean())


def _unit(vectors: Vectors) -> Vectors:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = vectors / np.maximum(norms, np.finfo(np.float32).tiny)
    return unit
