"""Scores of models side by side, as Markdown."""

from autodistil.downstream.scores import ModelScores, Role, Summary

_ZERO_SHOT = "stsb-zero-shot"


def markdown_table(rows: list[ModelScores]) -> str:
    """The models and their scores x 100 as a Markdown table, with their share of the reference."""
    tasks, means = task_names(rows), mean_names(rows)
    reference = next((row for row in rows if row.model.role is Role.REFERENCE), None)
    shared = [name for name in (_ZERO_SHOT, *means) if name in (*tasks, *means)]
    head = ["model", "MACs", "params", *tasks, *means]
    if reference:
        head[3:3] = ["MACs of reference", "params of reference"]
        head += [f"{name} of reference" for name in shared]
    lines = [f"| {' | '.join(head)} |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for row in rows:
        model = row.model
        cells = [model.name, _count(model.macs), _count(model.params)]
        if reference:
            cells += [
                share(model.macs, reference.model.macs),
                share(model.params, reference.model.params),
            ]
        cells += [score_text(row.tasks.get(task)) for task in tasks]
        cells += [percent(row.value(name)) for name in means]
        if reference:
            cells += [share(row.value(name), reference.value(name)) for name in shared]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def task_names(rows: list[ModelScores]) -> list[str]:
    """The tasks that any of the models has a score of, in their order."""
    return list(dict.fromkeys(task for row in rows for task in row.tasks))


def mean_names(rows: list[ModelScores]) -> list[str]:
    """Those of the means over tasks that any of the models has."""
    names = ("probes", "average")
    return [name for name in names if any(row.value(name) is not None for row in rows)]


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def share(value: float | None, whole: float | None) -> str:
    """A value as a percentage of another one."""
    return f"{100 * value / whole:.1f}%" if value is not None and whole else "-"


def score_text(summary: Summary | None) -> str:
    """A score x 100 with its standard deviation over seeds, if there are several."""
    if summary is None:
        return "-"
    mean = f"{100 * summary.mean:.2f}"
    return mean if summary.std is None else f"{mean} ± {100 * summary.std:.2f}"


def percent(score: float | None) -> str:
    """A score x 100."""
    return "-" if score is None else f"{100 * score:.2f}"
