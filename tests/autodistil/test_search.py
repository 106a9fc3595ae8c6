import random
from collections.abc import Sequence

import pytest

from autodistil.architecture import BERT_BASE, PRESETS
from autodistil.budget import AXES, Budget, LatencyLimit
from autodistil.candidates import Candidate
from autodistil.cost import Cost, cost
from autodistil.errors import InfeasibleBudget, InvalidInput, UnknownDevice
from autodistil.search import Entry, search
from tests.autodistil.test_architecture import BERT_ENCODER

TINY, SMALL, BASE = PRESETS["bert-base-uncased"]
TEACHER = cost(BERT_BASE, BERT_ENCODER, teacher_heads=12)
STUDENTS = [
    Candidate.build(student, space, BERT_ENCODER, 12)
    for space in (TINY, SMALL, BASE)
    for student in space.students()
]


def table(rng: random.Random, size: int) -> list[Entry]:
    """Random candidates of two SuperLMs of teachers of different cost; some not evaluated."""
    cheap = TEACHER.model_copy(update={"macs": TEACHER.macs // 3, "params": TEACHER.params // 3})
    entries = []
    for candidate in rng.sample(STUDENTS, size):
        losses = rng.choice([0.25, rng.random(), rng.random()]), rng.random()
        if rng.random() < 0.05:
            losses = (None, None)  # type: ignore[assignment]
        # Costs that do not move together, so that limits can contradict one another.
        update: dict[str, object] = {"relation_loss": losses[0], "similarity_loss": losses[1]}
        for axis in AXES:
            update[axis] = int(getattr(candidate, axis) * 4 ** rng.uniform(-1, 1))
        teacher = rng.choice([TEACHER, cheap])
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


def within(entry: Entry, budget: Budget) -> bool:
    """The definition, written out again: every exact cost at most its limit."""
    for axis in AXES:
        amount = getattr(budget, axis)
        if isinstance(amount, str):
            amount = int(amount[:-1]) * getattr(entry.teacher, axis) // 100
        if amount is not None and getattr(entry.candidate, axis) > amount:
            return False
    return True


def total(entry: Entry) -> float:
    candidate = entry.candidate
    if candidate.relation_loss is None or candidate.similarity_loss is None:
        return float("inf")
    return candidate.relation_loss + candidate.similarity_loss


def brute_force(entries: Sequence[Entry], budget: Budget) -> Entry | None:
    best = None
    for entry in entries:
        if within(entry, budget) and (
            best is None
            or total(entry) < total(best)
            or (total(entry) == total(best) and entry.candidate.macs < best.candidate.macs)
        ):
            best = entry
    return best


def test_the_choice_equals_brute_force_on_2000_random_budgets() -> None:
    rng = random.Random(0)
    feasible = infeasible = 0
    for _ in range(2000):
        entries, budget = table(rng, rng.randint(1, 40)), random_budget(rng)
        expected = brute_force(entries, budget)
        if expected is None:
            infeasible += 1
            with pytest.raises(InfeasibleBudget):
                search(entries, budget)
            continue
        feasible += 1
        choice = search(entries, budget)
        assert choice.best == expected
        assert choice.considered == len(entries)
        assert choice.feasible == sum(within(entry, budget) for entry in entries)
        cheaper = [e for e in entries if e.candidate.macs < expected.candidate.macs]
        assert (choice.cheaper is None) == (not cheaper)
        if choice.cheaper:
            assert total(choice.cheaper) == min(map(total, cheaper))
        better = [e for e in entries if total(e) < total(expected)]
        assert (choice.better is None) == (not better)
        if choice.better:
            assert choice.better in better
            assert choice.better.candidate.macs == min(e.candidate.macs for e in better)
    assert min(feasible, infeasible) > 200


def test_the_reason_of_every_refusal_is_true() -> None:
    rng = random.Random(1)
    kinds = set()
    for _ in range(600):
        entries, budget = table(rng, rng.randint(1, 40)), random_budget(rng)
        if brute_force(entries, budget):
            continue
        with pytest.raises(InfeasibleBudget) as caught:
            search(entries, budget)
        members, message = caught.value.members, caught.value.detail
        nearest = members["nearest_student"]
        peers = [entry for entry in entries if entry.superlm == nearest["superlm"]]
        limits = budget.limits(peers[0].teacher)
        binding = members["binding_limits"]
        kinds.add(len(binding))
        for item in binding:
            axis, least = item["limit"], item["least_possible"]
            assert item["asked"] == limits[axis] < least
            assert axis in message
            assert f"{least:,}" in message
            # With this limit raised to the least possible value, the binding limits can be met.
            raised = {other["limit"]: limits[other["limit"]] for other in binding} | {axis: least}
            fits = [
                all(getattr(e.candidate, a) <= limit for a, limit in raised.items()) for e in peers
            ]
            assert any(fits)
            raised[axis] = least - 1
            assert not any(
                all(getattr(e.candidate, a) <= limit for a, limit in raised.items()) for e in peers
            )
        assert Candidate.model_validate(
            {k: v for k, v in nearest.items() if k not in ("superlm", "stock")}
        ) in [entry.candidate for entry in peers]
        name = peers[0].candidate.architecture.parse(message.split("student is ")[1].split()[0])
        assert name.layers == nearest["layers"]
    assert kinds >= {1, 2}


def test_one_binding_limit_is_named_with_its_least_possible_value() -> None:
    entries = [Entry("a@1", c, TEACHER) for c in STUDENTS]
    with pytest.raises(
        InfeasibleBudget, match="macs at most 1,000, where 209,715,200 is the least possible"
    ) as e:
        search(entries, Budget(macs=1000, params="100%"))
    least = min(STUDENTS, key=lambda c: c.macs)
    assert e.value.members["binding_limit"] == "macs"
    assert e.value.members["asked"] == 1000
    assert e.value.members["least_possible"] == least.macs
    assert e.value.members["nearest_student"]["layers"] == least.layers
    assert e.value.problem()["type"] == "infeasible-budget"


def test_a_pair_of_limits_that_excludes_everything_together_is_named() -> None:
    thin = Candidate.build(TINY.largest, TINY, BERT_ENCODER, 12, (0.1, 0.1))
    wide = thin.model_copy(update={"macs": thin.macs // 2, "params": thin.params * 2})
    entries = [Entry("a@1", thin, TEACHER), Entry("a@1", wide, TEACHER)]
    budget = Budget(macs=thin.macs - 1, params=wide.params - 1, size_bytes="100%")
    with pytest.raises(InfeasibleBudget, match="once the other holds") as caught:
        search(entries, budget)
    found = {
        item["limit"]: item["least_possible"] for item in caught.value.members["binding_limits"]
    }
    assert found == {"macs": thin.macs, "params": wide.params}


def test_a_share_is_taken_of_the_teacher_of_each_superlm() -> None:
    cheap = TEACHER.model_copy(update={"macs": STUDENTS[0].macs})
    losses = {"relation_loss": 0.1, "similarity_loss": 0.1}
    candidate = STUDENTS[0].model_copy(update=losses)
    worse = candidate.model_copy(update={"relation_loss": 0.5})
    entries = [Entry("of-cheap@1", candidate, cheap), Entry("of-big@1", worse, TEACHER)]
    choice = search(entries, Budget(macs="50%"))
    assert choice.best.superlm == "of-big@1"
    assert choice.limits == {"macs": TEACHER.macs // 2}


def test_a_student_exactly_at_the_limit_fits() -> None:
    entries = [Entry("a@1", c, TEACHER) for c in STUDENTS]
    least = min(STUDENTS, key=lambda c: c.params)
    assert search(entries, Budget(params=least.params)).best.candidate == least


def test_a_latency_limit_is_refused_for_an_unknown_device() -> None:
    entries = [Entry("a@1", STUDENTS[0], TEACHER)]
    with pytest.raises(UnknownDevice, match="'pixel'.*xeon, phone") as caught:
        search(entries, Budget(latency=LatencyLimit(ms=5, device="pixel")), ("xeon", "phone"))
    assert caught.value.members == {"devices": ["xeon", "phone"]}
    with pytest.raises(UnknownDevice, match="names no device.*none yet"):
        search(entries, Budget(macs="100%", latency=LatencyLimit(ms=5)))


def test_no_candidates_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no SuperLM was given"):
        search([], Budget(macs=5))


def test_a_row_is_json_with_its_superlm() -> None:
    row = Entry("a@1", STUDENTS[0], TEACHER).row()
    assert row["superlm"] == "a@1"
    assert row["stock"] is False
    assert Cost(**{name: row[name] for name in Cost.model_fields}) == STUDENTS[0].cost
