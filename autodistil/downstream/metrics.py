"""Metrics of the tasks. Each is 0 where it is undefined: for a constant prediction, say."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from autodistil.correlation import pearson, spearman
from autodistil.downstream.tasks import MetricName

Values = NDArray[np.float64]
"""Class indices, or numbers, [examples]."""


def accuracy(predicted: Values, labels: Values) -> float:
    """Share of equal values."""
    return float((predicted == labels).mean())


def f1(predicted: Values, labels: Values) -> float:
    """Harmonic mean of precision and recall of class 1."""
    hits = float(((predicted == 1) & (labels == 1)).sum())
    both = float((predicted == 1).sum() + (labels == 1).sum())
    return 2 * hits / both if both else 0.0


METRICS: dict[MetricName, Callable[[Values, Values], float]] = {
    "accuracy": accuracy,
    "f1": f1,
    # Of two classes, Matthews' correlation is the linear one between the indicator variables.
    "matthews": pearson,
    "pearson": pearson,
    "spearman": spearman,
}
"""The metrics by name; each takes predictions and labels."""
