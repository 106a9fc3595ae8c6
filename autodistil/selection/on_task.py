"""Search with a proxy task, the paper's second variant (section 3.3): labels, no estimate.

The students on the front within a budget are extracted and scored on a labelled task, and the best
score wins.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from autodistil.downstream.scored_folder import describe_model
from autodistil.downstream.scores import Role, ScoreFile, Summary
from autodistil.downstream.scoring import Assignment
from autodistil.evaluation.quality import Score
from autodistil.extraction.handover import extract_student
from autodistil.search.budget import Budget
from autodistil.search.choice import rank_feasible
from autodistil.search.entry import Entry
from autodistil.search.fronts import CostAxis, pareto_front
from autodistil.search.latency_limit import Profiles
from autodistil.superlm.bundle import SuperLM


class ProxyScore(NamedTuple):
    """A student and what it reached on the task."""

    entry: Entry
    summary: Summary

    def row(self) -> dict[str, Any]:
        """The student's row with its score, as JSON values."""
        return {**self.entry.row(), "proxy": self.summary.model_dump(mode="json")}


def proxy_candidates(
    entries: Sequence[Entry],
    budget: Budget,
    count: int,
    profiles: Profiles | None = None,
    score: Score = Score.QUALITY,
) -> list[Entry]:
    """Those to be scored: on the front over MACs of what fits the budget, the `count` best.

    Args:
        entries: The candidates.
        budget: The limits.
        count: How many to score at most.
        profiles: The profiled devices.
        score: By which the front is drawn.

    Raises:
        InfeasibleBudget: No student fits; further errors as of `autodistil.search.choice.search`.
    """
    feasible = rank_feasible(entries, budget, profiles, score)
    return pareto_front(feasible, CostAxis.MACS, score)[::-1][:count]


def proxy_search(
    superlms: Mapping[str, SuperLM],
    candidates: Sequence[Entry],
    assignment: Assignment,
    seeds: Sequence[int],
    file: ScoreFile,
    on_student: Callable[[int, str], None] = lambda done, name: None,
    on_step: Callable[[int, int], None] = lambda step, steps: None,
) -> list[ProxyScore]:
    """Score students on a task; the best one first, among equals the one with fewer MACs.

    Args:
        superlms: By `name@version`.
        candidates: Students of them.
        assignment: The task, its data, and how students are fine-tuned, if they are.
        seeds: Of the fine-tunings; not used without one.
        file: Knows what was scored before, and keeps what is scored now.
        on_student: Called before each student with how many were scored, and its name.
        on_step: Called after every step of a fine-tuning with its number and that of all steps.

    Raises:
        TrainingDiverged: A loss is no number any more.
    """
    found = []
    for done, entry in enumerate(candidates):
        name = f"{entry.superlm} {entry.candidate.architecture.name}"
        on_student(done, name)
        with tempfile.TemporaryDirectory() as folder:
            student = Path(folder) / "student"
            extract_student(superlms[entry.superlm], entry.candidate, student)
            model = describe_model(name, student, Role.STUDENT)
            scores = []
            for seed in seeds if assignment.seeded else [None]:
                score = file.find(model.sha256, assignment.name, seed, assignment.settings)
                if score is None:
                    score = assignment.score(model, student, seed, on_step)
                    file.add(score)
                scores.append(score.score)
        found.append(ProxyScore(entry, Summary.of(scores)))
    return sorted(found, key=lambda s: (-s.summary.mean, s.entry.candidate.macs))
