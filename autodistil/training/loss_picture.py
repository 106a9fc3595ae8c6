"""A picture of the losses of a training."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from autodistil.errors import InvalidInput
from autodistil.pictures import check_picture, save_picture
from autodistil.training.loss_curve import LossRow

_BINS = 60
_OTHERS = "random students"

Point = tuple[float, float]
"""Tokens seen, and a loss."""


def plot_losses(rows: Sequence[LossRow], path: Path) -> None:
    """Draw the losses of a training against the tokens it saw, averaged over neighbouring steps.

    Every term of the objective has a panel. The students trained at more than half of the steps,
    which are the largest and the smallest as a rule, have a curve each; all drawn at random share
    one.

    Args:
        rows: From `autodistil.training.loss_curve.read_losses`.
        path: PNG or SVG, by its suffix.

    Raises:
        InvalidInput: Another suffix, or no rows.
    """
    check_picture(path)
    points = _loss_points(rows)
    if not points:
        raise InvalidInput("Nothing to draw: the training has no losses yet.")
    terms = list(dict.fromkeys(term for series in points.values() for term in series))
    figure = Figure(figsize=(5.5 * len(terms), 4), layout="constrained")
    for axis, term in zip(figure.subplots(1, len(terms), squeeze=False)[0], terms, strict=True):
        for name, series in points.items():
            if term in series:
                axis.plot(*_smooth(series[term]), label=name)
        axis.set_xlabel("tokens")
        axis.set_ylabel(f"{term} loss")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    save_picture(figure, path)


def _loss_points(rows: Sequence[LossRow]) -> dict[str, dict[str, list[Point]]]:
    """Points per curve and term: students trained at most steps by name, all others as one."""
    by_name: dict[str, dict[str, list[Point]]] = defaultdict(lambda: defaultdict(list))
    steps = Counter(student.name for row in rows for student in row.students)
    for row in rows:
        for student in row.students:
            name = student.name if steps[student.name] > len(rows) / 2 else _OTHERS
            for term, loss in student.losses.items():
                by_name[name][term].append((float(row.tokens), loss))
    others = by_name.pop(_OTHERS, None)
    return {**by_name, _OTHERS: others} if others else by_name


def _smooth(points: list[Point]) -> tuple[list[float], list[float]]:
    """Means over runs of about four neighbouring points or more, at most `_BINS` of them."""
    x, y = np.array(points).T
    order = np.argsort(x, kind="stable")
    bins = np.array_split(order, min(_BINS, math.ceil(len(order) / 4)))
    return [float(x[part].mean()) for part in bins], [float(y[part].mean()) for part in bins]
