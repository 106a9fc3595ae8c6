"""Multinomial logistic regression with an L2 penalty, its strength chosen on held-out examples."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Penalties that are tried: half of that times the squared weights is added to the mean loss."""
_CHOSEN_ON = 5
"""One training example in so many is kept to choose the penalty."""
_MOST_ITERATIONS = 200

Features = NDArray[np.float32]
"""[examples, features]."""
Classes = NDArray[np.int64]
"""Class indices, [examples]."""


def predict_classes(train: Features, labels: Classes, test: Features) -> Classes:
    """Fit on training examples and predict the classes of others, [test examples].

    Every feature is shifted and scaled to mean 0 and variance 1 over the training examples. The
    penalty is the one that does best on every fifth training example when fitted to the others.

    Args:
        train: Features of the training examples.
        labels: Their classes.
        test: Features of the examples to predict.
    """
    mean, scale = train.mean(axis=0), train.std(axis=0)
    scale[scale == 0] = 1.0
    train, test = (train - mean) / scale, (test - mean) / scale
    classes = int(labels.max()) + 1
    chosen_on = np.arange(len(labels)) % _CHOSEN_ON == 0
    best, strength, weights = -1.0, _STRENGTHS[-1], None
    # From strong to weak, each fit starting where the last one ended.
    for tried in reversed(_STRENGTHS):
        weights = _fit(train[~chosen_on], labels[~chosen_on], classes, tried, weights)
        right = float((_decide(train[chosen_on], weights) == labels[chosen_on]).mean())
        if right > best:
            best, strength = right, tried
    return _decide(test, _fit(train, labels, classes, strength, None))


def _decide(features: Features, weights: NDArray[np.float64]) -> Classes:
    logits = features @ weights[:-1].astype(np.float32) + weights[-1]
    found: Classes = logits.argmax(axis=1)
    return found


def _fit(
    features: Features,
    labels: Classes,
    classes: int,
    strength: float,
    start: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Weights with the biases as the last row, [features + 1, classes]."""
    shape = (features.shape[1] + 1, classes)
    rows = np.arange(len(labels))

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = flat.reshape(shape)
        logits = (features @ weights[:-1].astype(np.float32)).astype(np.float64) + weights[-1]
        logits -= logits.max(axis=1, keepdims=True)
        odds = np.exp(logits)
        sums = odds.sum(axis=1)
        value = float((np.log(sums) - logits[rows, labels]).mean())
        value += strength / 2 * float((weights[:-1] ** 2).sum())
        error = odds / sums[:, None]
        error[rows, labels] -= 1
        error /= len(labels)
        gradient = np.empty(shape)
        gradient[:-1] = features.T @ error.astype(np.float32) + strength * weights[:-1]
        gradient[-1] = error.sum(axis=0)
        return value, gradient.ravel()

    first = np.zeros(shape) if start is None else start
    options = {"maxiter": _MOST_ITERATIONS}
    found = minimize(loss, first.ravel(), jac=True, method="L-BFGS-B", options=options)
    weights: NDArray[np.float64] = found.x.reshape(shape)
    return weights
