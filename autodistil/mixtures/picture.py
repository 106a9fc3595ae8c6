"""The front of a sub-space's students, and the mixtures beyond it, as a picture."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autodistil.mixtures.report import MixtureReport, ProposedMixture
from autodistil.pictures import check_picture, save_picture, use_cost_scale


def plot_mixtures(report: MixtureReport, path: Path) -> None:
    """Draw agreement against MACs: all students, their front, and the front with mixtures.

    Qualities are those on the batches that the search did not see. The bar of a mixture is the
    interval of its gain over the best student with no more MACs, and so begins above the students'
    front where the mixture held.

    Args:
        report: What to draw.
        path: PNG or SVG, by its suffix.

    Raises:
        InvalidInput: Another suffix.
    """
    check_picture(path)
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axis = figure.subplots()
    students = [(float(row.macs), row.agreement) for row in report.grid]
    mixtures = [(float(row.cost.macs), row.agreement) for row in report.held]
    axis.plot(*_columns(students), "o", color="tab:blue", alpha=0.35, markersize=4)
    _staircase(axis, students, "tab:blue", "students of the sub-space")
    if mixtures:
        _staircase(axis, students + mixtures, "tab:orange", "with mixtures that held")
    _mixtures(axis, report.held, "o", "tab:orange", "mixture that held")
    _mixtures(axis, report.dropped, "x", "tab:gray", "mixture that did not hold")
    use_cost_scale(axis)
    axis.set_title(
        f"{report.superlm}, {report.evaluated:,} of {report.space_size:,} mixtures tried"
    )
    axis.set_xlabel("MACs at 128 tokens")
    axis.set_ylabel("agreement with the teacher, held-out text")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=7, loc="lower right")
    save_picture(figure, path)


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in pairs], [y for _, y in pairs]


def _staircase(axis: Axes, pairs: Sequence[tuple[float, float]], color: str, label: str) -> None:
    """The best agreement within every budget of MACs."""
    corners: list[tuple[float, float]] = []
    for macs, agreement in sorted(pairs):
        best = max(agreement, corners[-1][1]) if corners else agreement
        corners.append((macs, best))
    axis.step(*_columns(corners), where="post", color=color, label=label)


def _mixtures(
    axis: Axes, rows: Sequence[ProposedMixture], marker: str, color: str, label: str
) -> None:
    if not rows:
        return
    axis.errorbar(
        [row.cost.macs for row in rows],
        [row.agreement for row in rows],
        yerr=[row.gain.high - row.gain.mean for row in rows],
        fmt=marker,
        color=color,
        markersize=4,
        capsize=2,
        linewidth=0.8,
        label=label,
    )
