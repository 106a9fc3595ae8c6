"""Correlations of two rows of numbers; 0 where one of them is constant."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Values = NDArray[np.float64]
"""Numbers, [examples]."""


def pearson(predicted: Values, labels: Values) -> float:
    """Linear correlation."""
    a, b = predicted - predicted.mean(), labels - labels.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm > 0 else 0.0


def spearman(predicted: Values, labels: Values) -> float:
    """Correlation of ranks."""
    return pearson(rankdata(predicted), rankdata(labels))
