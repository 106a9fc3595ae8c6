"""Scores of models side by side, as Markdown."""

from autodistil.downstream.scores import ModelScores, Role, Summary


def markdown_table(rows: list[ModelScores]) -> str:
    """The models and their scores x 100 as a Markdown table, with their share of the reference."""
    tasks = list(rows[0].tasks)
    reference = next((row for row in rows if row.model.role is Role.REFERENCE), None)
    head = ["model", "MACs", "params", *tasks, "average"]
    if reference:
        head[3:3] = ["MACs of reference", "params of reference"]
        head.append("average of reference")
    lines = [f"| {' | '.join(head)} |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for row in rows:
        model = row.model
        cells = [model.name, _count(model.macs), _count(model.params)]
        if reference:
            cells += [
                _share(model.macs, reference.model.macs),
                _share(model.params, reference.model.params),
            ]
        cells += [score_text(row.tasks[task]) for task in tasks]
        cells.append(percent(row.average))
        if reference:
            cells.append(_share(row.average, reference.average))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _share(value: float | None, whole: float | None) -> str:
    return f"{100 * value / whole:.1f}%" if value is not None and whole else "-"


def score_text(summary: Summary) -> str:
    """A score x 100 with its standard deviation over seeds, if there are several."""
    mean = f"{100 * summary.mean:.2f}"
    return mean if summary.std is None else f"{mean} ± {100 * summary.std:.2f}"


def percent(score: float | None) -> str:
    """A score x 100."""
    return "-" if score is None else f"{100 * score:.2f}"
