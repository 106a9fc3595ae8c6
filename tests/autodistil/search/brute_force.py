"""Searches by brute force over made-up tables, and what a refusal must say."""

import random
from collections.abc import Iterable, Sequence
from itertools import combinations

from autodistil.errors import InfeasibleBudget
from autodistil.evaluation.candidates import Candidate
from autodistil.evaluation.quality import Score
from autodistil.search.budget import AXES, Budget
from autodistil.search.entry import Entry
from autodistil.spaces.cost import Cost, cost
from autodistil.spaces.partition import BERT_BASE, BERT_BASE_ENCODER, PRESETS

TINY, SMALL, BASE = PRESETS["bert-base-uncased"]
TEACHER = cost(BERT_BASE, BERT_BASE_ENCODER, teacher_heads=12)
STUDENTS = [
    Candidate.build(student, space.name, cost(student, BERT_BASE_ENCODER, 12))
    for space in (TINY, SMALL, BASE)
    for student in space.students()
]
CHEAP = TEACHER.model_copy(update={"macs": TEACHER.macs // 3, "params": TEACHER.params // 3})


def signals(rng: random.Random) -> dict[str, object]:
    """Random signals, some of them equal."""
    return {
        "relation_loss": rng.choice([0.25, rng.random()]),
        "hidden_relation_loss": rng.random(),
        "similarity_loss": rng.choice([0.25, rng.random()]),
        "neighbour_agreement": rng.choice([0.5, rng.uniform(-1, 1)]),
        "stranger_agreement": rng.uniform(-1, 1),
    }


EVALUATED = [c.model_copy(update=signals(random.Random(i))) for i, c in enumerate(STUDENTS)]
"""The same with signals."""


def table(rng: random.Random, size: int) -> list[Entry]:
    """Random candidates of two SuperLMs of teachers of different cost."""
    entries = []
    for candidate in rng.sample(STUDENTS, size):
        # Costs that do not move together, so that limits can contradict one another.
        update = signals(rng)
        for axis in AXES:
            update[axis] = int(getattr(candidate, axis) * 4 ** rng.uniform(-1, 1))
        teacher = rng.choice([TEACHER, CHEAP])
        name = "a@1" if teacher is TEACHER else "b@1"
        entries.append(Entry(name, candidate.model_copy(update=update), teacher))
    return entries


def random_budget(rng: random.Random) -> Budget:
    limits: dict[str, object] = {}
    for axis in rng.sample(AXES, rng.randint(1, 3)):
        if rng.random() < 0.5:
            limits[axis] = f"{rng.randint(1, 100)}%"
        else:
            limits[axis] = int(getattr(TEACHER, axis) * 10 ** rng.uniform(-2, 0))
    return Budget.model_validate(limits)


def absolute(budget: Budget, teacher: Cost) -> dict[str, int]:
    """The limits in numbers, written out again."""
    limits = {}
    for axis in AXES:
        amount = getattr(budget, axis)
        if isinstance(amount, str):
            amount = int(amount[:-1]) * getattr(teacher, axis) // 100
        if amount is not None:
            limits[axis] = amount
    return limits


def within(entry: Entry, limits: dict[str, int]) -> bool:
    """The definition: every exact cost at most its limit."""
    return all(getattr(entry.candidate, axis) <= limit for axis, limit in limits.items())


def worth(entry: Entry, score: Score) -> float:
    """What each score means, written out again."""
    candidate = entry.candidate
    if score is Score.LOSS:
        assert candidate.relation_loss is not None
        assert candidate.similarity_loss is not None
        return -(candidate.relation_loss + candidate.similarity_loss)
    assert candidate.quality is not None
    return candidate.params if score is Score.PARAMS else candidate.quality


def brute_force(
    entries: Sequence[Entry], budget: Budget, score: Score = Score.QUALITY
) -> Entry | None:
    best, best_key = None, (float("-inf"), 0)
    limits = {id(teacher): absolute(budget, teacher) for teacher in (TEACHER, CHEAP)}
    for entry in entries:
        if within(entry, limits[id(entry.teacher)]):
            key = (worth(entry, score), -entry.candidate.macs)
            if best is None or key > best_key:
                best, best_key = entry, key
    return best


def check_refusal(entries: Sequence[Entry], budget: Budget, error: InfeasibleBudget) -> int:
    """Check everything that a refusal says; returns how many limits it calls binding."""
    members, message = error.members, error.detail
    known = {id(teacher): absolute(budget, teacher) for teacher in (TEACHER, CHEAP)}
    amounts = list(known[id(entries[0].teacher)])

    def limit(entry: Entry, axis: str) -> int:
        return known[id(entry.teacher)][axis]

    def fits(entry: Entry, axes: Iterable[str]) -> bool:
        return within(entry, {axis: limit(entry, axis) for axis in axes})

    def factor(entry: Entry, axis: str) -> float:
        return float(getattr(entry.candidate, axis) / (limit(entry, axis) or 1))

    binding = {item["limit"]: item for item in members["binding_limits"]}
    # No student meets these limits together, and some student meets any fewer of all the limits.
    assert not any(fits(entry, binding) for entry in entries)
    for axes in combinations(amounts, len(binding) - 1):
        assert any(fits(entry, axes) for entry in entries)
    for axis, item in binding.items():
        others = [entry for entry in entries if fits(entry, set(binding) - {axis})]
        least = min(factor(entry, axis) for entry in others)
        assert (item["least_possible"], item["asked"]) in {
            (getattr(entry.candidate, axis), limit(entry, axis))
            for entry in others
            if factor(entry, axis) == least
        }
        assert item["asked"] < item["least_possible"]
        assert f"{axis} at most {item['asked']:,}, where {item['least_possible']:,}" in message
    assert (members["binding_limit"], members["asked"], members["least_possible"]) == (
        *members["binding_limits"][0].values(),
    )
    # The nearest student is the one for which all limits must be raised by the smallest factor.
    row = members["nearest_student"]
    nearest = next(
        entry for entry in entries if entry.superlm == row["superlm"] and entry.row() == row
    )
    factors = [max(factor(entry, axis) for axis in amounts) for entry in entries]
    assert max(factor(nearest, axis) for axis in amounts) == min(factors)
    assert members["nearest_exceeds"] == {
        axis: row[axis] for axis in amounts if row[axis] > limit(nearest, axis)
    }
    assert f"student is {nearest.candidate.architecture.name} of {nearest.superlm}" in message
    return len(binding)
