"""Search with a labelled task on the command line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autodistil.errors import InvalidInput, explain
from autodistil.evaluation.quality import Score
from autodistil.latency.device_profile import DeviceProfile
from autodistil.quiet import quiet_transformers
from autodistil.search.budget import Budget
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.entries import entries_of
from cli.output import STUDENT_COLUMNS, errors, print_table, progress


def search_by_proxy(
    opened: Mapping[str, SuperLM],
    budget: Budget,
    profiles: Mapping[str, DeviceProfile],
    score: Score,
    task: str,
    data: str,
    students: int,
    seeds: range,
    recipe: Mapping[str, Any],
    scores: Path,
) -> list[dict[str, Any]]:
    """Score students on a labelled task; their rows, the best one first.

    Raises:
        InvalidInput: The task, its data, the recipe, or the file of scores cannot be used.
    """
    with errors.status("loading"):
        from autodistil.downstream.assignments import read_assignment
        from autodistil.downstream.finetuning import Recipe
        from autodistil.downstream.scores import ScoreFile
        from autodistil.selection.on_task import proxy_candidates, proxy_search

        quiet_transformers()
        try:
            assignment = read_assignment(task, data, Recipe.model_validate(dict(recipe)))
        except ValidationError as error:
            raise InvalidInput(f"The recipe: {explain(error)}.") from error
        file = ScoreFile(scores)
    candidates = proxy_candidates(entries_of(opened.values()), budget, students, profiles, score)
    with progress() as bar:
        whole = bar.add_task(task, total=len(candidates), note="")
        steps = bar.add_task("steps", total=None, note="")

        def on_student(done: int, name: str) -> None:
            bar.reset(steps, total=None)
            bar.update(whole, completed=done, note=name)

        found = proxy_search(
            opened,
            candidates,
            assignment,
            seeds,
            file,
            on_student,
            lambda step, total: bar.update(steps, completed=step, total=total),
        )
        bar.update(whole, completed=len(candidates))
    return [one.row() for one in found]


def print_proxy(task: str, rows: list[dict[str, Any]]) -> None:
    """Print what students reached on a task."""
    columns = {name: key for name, key in STUDENT_COLUMNS.items() if not name.startswith("paper")}
    columns |= {"quality": "quality", task: "score"}
    print_table(
        f"{len(rows)} students on the front within the budget, the best on {task} first",
        [{**row, "score": row["proxy"]["mean"]} for row in rows],
        columns,
    )
