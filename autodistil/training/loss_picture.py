"""A picture of the losses of a training."""

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.figure import Figure

from autodistil.errors import InvalidInput
from autodistil.pictures import check_picture, save_picture
from autodistil.training.loss_curve import LossRow

_BINS = 60

_LossName = Literal["relation", "similarity"]
_LOSSES: tuple[_LossName, ...] = ("relation", "similarity")


def plot_losses(rows: Sequence[LossRow], path: Path) -> None:
    """Draw the losses of a training against the tokens it saw, averaged over neighbouring steps.

    The students trained at more than half of the steps, which are the largest and the smallest
    as a rule, have a curve each; all drawn at random share one.

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
    figure = Figure(figsize=(11, 4), layout="constrained")
    for axis, loss in zip(figure.subplots(1, 2), _LOSSES, strict=True):
        for name, series in points.items():
            tokens, values = _smooth(series["tokens"], series[loss])
            axis.plot(tokens, values, label=name)
        axis.set_xlabel("tokens")
        axis.set_ylabel(f"{loss} loss")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    save_picture(figure, path)


def _loss_points(rows: Sequence[LossRow]) -> dict[str, dict[str, list[float]]]:
    """Tokens and losses per curve: students trained at most steps by name, all others as one."""
    by_name: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for student in row.students:
            series = by_name[student.name]
            series["tokens"].append(float(row.tokens))
            for loss in _LOSSES:
                series[loss].append(getattr(student, loss))
    curves: dict[str, dict[str, list[float]]] = {}
    others: dict[str, list[float]] = defaultdict(list)
    for name, series in by_name.items():
        if len(series["tokens"]) > len(rows) / 2:
            curves[name] = series
        else:
            for key, values in series.items():
                others[key] += values
    return {**curves, "random students": others} if others else curves


def _smooth(tokens: list[float], values: list[float]) -> tuple[list[float], list[float]]:
    """Means over runs of about four neighbouring points or more, at most `_BINS` of them."""
    order = np.argsort(tokens, kind="stable")
    bins = np.array_split(order, min(_BINS, math.ceil(len(order) / 4)))
    x, y = np.array(tokens), np.array(values)
    return [float(x[part].mean()) for part in bins], [float(y[part].mean()) for part in bins]
