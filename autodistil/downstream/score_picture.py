"""A picture of scores against costs."""

import math
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autodistil.downstream.scores import ModelScores, Role
from autodistil.errors import InvalidInput
from autodistil.pictures import check_picture, save_picture, use_cost_scale

_MARKERS = {Role.STUDENT: ("o", "tab:blue"), Role.BASELINE: ("s", "tab:orange")}
_AVERAGE = "average"


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
                xytext=(0, 6),
                textcoords="offset points",
                ha="center",
                fontsize=7,
            )
    for row in rows:
        if row.model.role is Role.REFERENCE and (found := _value(row, panel)):
            axis.axhline(found[0], linestyle="--", color="black", label=row.model.name)
    use_cost_scale(axis)
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
