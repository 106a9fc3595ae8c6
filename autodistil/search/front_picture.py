"""A picture of Pareto fronts: every student a dot, every SuperLM a colour."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from autodistil.evaluation.quality import Score
from autodistil.pictures import check_picture, save_picture, use_cost_scale
from autodistil.search.entry import Entry
from autodistil.search.fronts import CostAxis, fronts, pareto_front

_LABELS = {
    Score.QUALITY: "quality: estimated share of the teacher's score",
    Score.LOSS: "-(held-out loss)",
    Score.PARAMS: "parameters",
}


def plot_fronts(
    entries: Sequence[Entry], axis: CostAxis, path: Path, score: Score = Score.QUALITY
) -> None:
    """Draw the front of each SuperLM and that over all.

    Args:
        entries: The students.
        axis: The cost, drawn to a logarithmic scale.
        path: PNG or SVG, by its suffix.
        score: What is better the more there is of it.

    Raises:
        InvalidInput: Another suffix, or as of `pareto_front`.
    """
    check_picture(path)

    def places(drawn: Sequence[Entry]) -> tuple[list[float], list[float]]:
        known = [(e.value(axis.field), e.candidate.score(score) or 0.0) for e in drawn]
        return [x for x, _ in known], [y for _, y in known]

    figure = Figure(figsize=(8, 5), layout="constrained")
    plot = figure.subplots()
    overall = pareto_front(entries, axis, score)
    plot.plot(*places(overall), color="black", linewidth=5, alpha=0.15, label="over all")
    for name, front in fronts(entries, axis, score).items():
        (line,) = plot.plot(*places(front), marker="o", markersize=4, label=name)
        own = [entry for entry in entries if entry.superlm == name]
        plot.scatter(*places(own), s=9, color=line.get_color(), alpha=0.4, linewidths=0)
    use_cost_scale(plot)
    plot.set_xlabel(axis.label)
    plot.set_ylabel(_LABELS[score])
    plot.grid(alpha=0.3)
    plot.legend(fontsize=8)
    save_picture(figure, path)
