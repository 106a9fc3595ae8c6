"""Pictures: scores against costs, and the losses of a training."""

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autodistil.errors import InvalidInput
from autodistil.loss_curve import LossRow
from autodistil.scores import ModelScores, Role

_KINDS = (".png", ".svg")
_MARKERS = {Role.STUDENT: ("o", "tab:blue"), Role.BASELINE: ("s", "tab:orange")}
_AVERAGE = "average"
_BINS = 60

_LossName = Literal["relation", "similarity"]
_LOSSES: tuple[_LossName, ...] = ("relation", "similarity")


def check_picture(path: Path) -> None:
    """Refuse what is no name of a picture, before any work is done for it.

    Raises:
        InvalidInput: The name ends neither in .png nor in .svg.
    """
    if path.suffix not in _KINDS:
        raise InvalidInput(f"{path}: a picture's name ends in {' or '.join(_KINDS)}.")


def plot_scores(rows: list[ModelScores], path: Path) -> None:
    """Draw scores against MACs: a panel per task, and one of the average.

    The reference is a horizontal line; models whose MACs are unknown are left out.

    Args:
        rows: The models.
        path: PNG or SVG, by its suffix.

    Raises:
        InvalidInput: Another suffix, or no model to draw.
    """
    check_picture(path)
    placed = [row for row in rows if row.model.macs and row.model.role is not Role.REFERENCE]
    if not placed:
        raise InvalidInput("Nothing to draw: there is no model with known MACs but the reference.")
    panels = list(rows[0].tasks)
    # Of one task the average says nothing new.
    if rows[0].average is not None and len(panels) > 1:
        panels.append(_AVERAGE)
    wide = min(3, len(panels))
    high = math.ceil(len(panels) / wide)
    figure = Figure(figsize=(4.6 * wide, 3.6 * high), layout="constrained")
    axes = figure.subplots(high, wide, squeeze=False).flat
    for axis, panel in zip(axes, panels, strict=False):
        _score_panel(axis, rows, placed, panel)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    save_picture(figure, path)


def _score_panel(
    axis: Axes, rows: list[ModelScores], placed: list[ModelScores], panel: str
) -> None:
    for role, (marker, color) in _MARKERS.items():
        points = [
            (row, *found)
            for row in placed
            if row.model.role is role and (found := _value(row, panel)) is not None
        ]
        if not points:
            continue
        axis.errorbar(
            [row.model.macs or 0 for row, _, _ in points],
            [mean for _, mean, _ in points],
            yerr=[std for _, _, std in points],
            fmt=marker,
            color=color,
            capsize=3,
            label=role.value,
        )
        for row, mean, _ in points:
            axis.annotate(
                row.model.name,
                (row.model.macs or 0, mean),
                xytext=(5, 4),
                textcoords="offset points",
                fontsize=7,
            )
    for row in rows:
        if row.model.role is Role.REFERENCE and (found := _value(row, panel)):
            axis.axhline(found[0], linestyle="--", color="black", label=row.model.name)
    axis.set_xscale("log")
    axis.margins(x=0.25, y=0.15)
    axis.set_title(panel)
    axis.set_xlabel("MACs at 128 tokens")
    axis.set_ylabel("score x 100")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=7)


def _value(row: ModelScores, panel: str) -> tuple[float, float] | None:
    """Mean and standard deviation x 100."""
    if panel == _AVERAGE:
        return None if row.average is None else (100 * row.average, 0.0)
    summary = row.tasks.get(panel)
    return None if summary is None else (100 * summary.mean, 100 * (summary.std or 0.0))


def plot_losses(rows: Sequence[LossRow], path: Path) -> None:
    """Draw the losses of a training against the tokens it saw, averaged over neighbouring steps.

    The students trained at more than half of the steps, which are the largest and the smallest
    as a rule, have a curve each; all drawn at random share one.

    Args:
        rows: From `autodistil.loss_curve.read_losses`.
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


def save_picture(figure: Figure, path: Path) -> None:
    """Write a figure as PNG or SVG, by the suffix of its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without a date, the same scores give the same SVG.
    figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
