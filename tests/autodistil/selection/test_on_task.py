from pathlib import Path

import pytest

from autodistil.downstream.assignments import read_assignment
from autodistil.downstream.finetuning import Recipe
from autodistil.downstream.scores import ScoreFile
from autodistil.downstream.scoring import Assignment
from autodistil.errors import InfeasibleBudget
from autodistil.search.budget import Budget
from autodistil.search.choice import rank_feasible
from autodistil.search.entry import Entry
from autodistil.search.fronts import CostAxis, pareto_front
from autodistil.selection.on_task import proxy_candidates, proxy_search
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.entries import entries_of
from tests.autodistil.search.brute_force import EVALUATED, TEACHER


def write_pairs(folder: Path) -> Path:
    folder.mkdir()
    rows = [f"Ba be {i}.\tBa be {j}.\t{abs(i - j)}.0" for i in range(4) for j in range(4)]
    for split in ("train", "dev"):
        (folder / f"{split}.tsv").write_text("sentence1\tsentence2\tscore\n" + "\n".join(rows))
    return folder


def test_the_candidates_are_the_best_on_the_front_of_what_fits() -> None:
    entries = [Entry("a@1", candidate, TEACHER) for candidate in EVALUATED]
    budget = Budget(macs="50%")
    chosen = proxy_candidates(entries, budget, 4)
    front = pareto_front(rank_feasible(entries, budget), CostAxis.MACS)
    assert chosen == front[:-5:-1]
    assert chosen[0] == rank_feasible(entries, budget)[0]
    assert len(proxy_candidates(entries, budget, 1000)) == len(front)
    with pytest.raises(InfeasibleBudget):
        proxy_candidates(entries, Budget(macs=1), 4)


@pytest.mark.parametrize("task", ["stsb-zero-shot", "stsb"])
def test_the_best_score_wins_and_nothing_is_scored_twice(
    task: str, stock_superlm: SuperLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(epochs=1, batch_size=8, max_examples=8)
    assignment = read_assignment(task, write_pairs(tmp_path / "data"), recipe)
    candidates = entries_of([stock_superlm])[:3]
    seeds, per_student = (0, 1), 1 if task == "stsb-zero-shot" else 2
    runs: list[object] = []
    original = Assignment.score

    def score(self: Assignment, *arguments: object) -> object:
        runs.append(arguments)
        return original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Assignment, "score", score)
    superlms, path = {"stock@1": stock_superlm}, tmp_path / "scores.json"
    first = proxy_search(superlms, candidates[:1], assignment, seeds, ScoreFile(path))
    assert len(runs) == per_student  # as if the rest had been killed
    told: list[tuple[int, str]] = []
    found = proxy_search(
        superlms,
        candidates,
        assignment,
        seeds,
        ScoreFile(path),
        lambda done, name: told.append((done, name)),
    )
    assert len(runs) == 3 * per_student
    assert first[0] in found
    assert sorted(found, key=lambda s: -s.summary.mean)[0] == found[0]
    assert {s.entry.candidate.architecture for s in found} == {
        entry.candidate.architecture for entry in candidates
    }
    assert [done for done, _ in told] == [0, 1, 2]
    assert found[0].row()["proxy"]["seeds"] == per_student
    again = proxy_search(superlms, candidates, assignment, seeds, ScoreFile(path))
    assert (len(runs), again) == (3 * per_student, found)
