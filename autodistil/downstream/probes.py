"""Probes: what a linear classifier reads off frozen sentence vectors."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from autodistil.downstream.embedder import Embedder, OnTexts, Vectors
from autodistil.downstream.logistic_regression import predict_classes
from autodistil.downstream.metrics import accuracy
from autodistil.downstream.task_data import Examples

PROBED = ("sst2", "cola", "mrpc")
"""Tasks that are probed."""
MOST_EXAMPLES = 10_000
"""Training examples of a probe; of a larger task, so many are drawn."""


def draw_examples(train: Examples) -> Examples:
    """At most `MOST_EXAMPLES` of the training examples, always the same, whatever their order."""
    if len(train) <= MOST_EXAMPLES:
        return train
    pairs = zip(train.first, train.second or train.first, strict=True)
    keys = [hashlib.sha256("\t".join(pair).encode()).digest() for pair in pairs]
    return train.take(sorted(range(len(train)), key=keys.__getitem__)[:MOST_EXAMPLES])


def probe_accuracy(
    embedder: Embedder,
    train: Examples,
    dev: Examples,
    on_texts: OnTexts = lambda done, total: None,
) -> float:
    """Accuracy of logistic regression on frozen vectors.

    Of a pair of sentences with vectors u and v, the features are |u - v| and u * v.

    Args:
        embedder: Makes the vectors.
        train: What the classifier is fitted to; its labels are class indices.
        dev: What it is scored on.
        on_texts: See `OnTexts`.
    """
    both = train.first + dev.first + (train.second or []) + (dev.second or [])
    vectors = embedder.encode(both, on_texts)
    features = _features(vectors, train.second is not None)
    labels = np.array(train.labels, np.int64)
    found = predict_classes(features[: len(train)], labels, features[len(train) :])
    return accuracy(found.astype(np.float64), np.array(dev.labels, np.float64))


def _features(vectors: Vectors, pairs: bool) -> NDArray[np.float32]:
    """[examples, features]."""
    if not pairs:
        return vectors
    half = len(vectors) // 2
    u, v = vectors[:half], vectors[half:]
    return np.concatenate((np.abs(u - v), u * v), axis=1)
