import random
from collections.abc import Iterable, Sequence
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodistil.errors import InfeasibleBudget, InvalidInput
from autodistil.evaluation.candidates import Candidate
from autodistil.evaluation.quality import Score
from autodistil.search.budget import AXES, Budget
from autodistil.search.search import Entry, rank_feasible, search
from autodistil.spaces.cost import Cost, cost
from autodistil.spaces.partition import BERT_BASE, PRESETS
from tests.autodistil.spaces.test_architecture import BERT_ENCODER

TINY, SMALL, BASE = PRESETS["bert-base-uncased"]
TEACHER = cost(BERT_BASE, BERT_ENCODER, teacher_heads=12)
STUDENTS = [
    Candidate.build(student, space, BERT_ENCODER, 12)
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


def test_the_choice_equals_brute_force_on_2000_random_budgets() -> None:
    rng = random.Random(0)
    feasible = infeasible = 0
    for _ in range(2000):
        entries, budget = table(rng, rng.randint(1, 40)), random_budget(rng)
        score = rng.choice(list(Score))
        expected = brute_force(entries, budget, score)
        if expected is None:
            infeasible += 1
            with pytest.raises(InfeasibleBudget):
                search(entries, budget, score=score)
            continue
        feasible += 1
        choice = search(entries, budget, score=score)
        assert (choice.best, choice.score) == (expected, score)
        assert choice.considered == len(entries)
        fitting = [entry for entry in entries if within(entry, absolute(budget, entry.teacher))]
        assert choice.feasible == len(fitting)
        cheaper = [e for e in entries if e.candidate.macs < expected.candidate.macs]
        assert (choice.cheaper is None) == (not cheaper)
        if choice.cheaper:
            assert worth(choice.cheaper, score) == max(worth(e, score) for e in cheaper)
        better = [e for e in entries if worth(e, score) > worth(expected, score)]
        assert (choice.better is None) == (not better)
        if choice.better:
            assert choice.better in better
            assert choice.better.candidate.macs == min(e.candidate.macs for e in better)
    assert min(feasible, infeasible) > 200


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


def test_the_reason_of_every_refusal_is_true() -> None:
    rng = random.Random(1)
    kinds = set()
    for _ in range(600):
        entries, budget = table(rng, rng.randint(1, 40)), random_budget(rng)
        if brute_force(entries, budget):
            continue
        with pytest.raises(InfeasibleBudget) as caught:
            search(entries, budget)
        kinds.add(check_refusal(entries, budget, caught.value))
    assert kinds >= {1, 2}


@pytest.fixture(scope="module")
def several_superlms() -> list[Entry]:
    """The 768 students of three SuperLMs with their true costs, of two teachers."""
    return [
        Entry(
            f"{candidate.sub_space}@1",
            candidate,
            CHEAP if candidate.sub_space == "tiny" else TEACHER,
        )
        for candidate in EVALUATED
    ]


amounts = st.one_of(
    st.integers(1, 200).map(lambda percent: f"{percent}%"),
    st.floats(-3.5, 0.1).map(lambda power: int(TEACHER.macs * 10**power)),
    st.floats(-3.5, 0.1).map(lambda power: int(TEACHER.params * 10**power)),
)
budgets = st.dictionaries(st.sampled_from(AXES), amounts, min_size=1).map(Budget.model_validate)


def test_a_plan_over_several_superlms_equals_brute_force_on_1000_budgets(
    several_superlms: list[Entry],
) -> None:
    outcomes = {"feasible": 0, "infeasible": 0}

    @settings(max_examples=1000, deadline=None, database=None, derandomize=True)
    @given(budgets, st.sampled_from(Score))
    def check(budget: Budget, score: Score) -> None:
        expected = brute_force(several_superlms, budget, score)
        if expected is not None:
            outcomes["feasible"] += 1
            assert search(several_superlms, budget, score=score).best == expected
            return
        outcomes["infeasible"] += 1
        with pytest.raises(InfeasibleBudget) as caught:
            search(several_superlms, budget, score=score)
        check_refusal(several_superlms, budget, caught.value)

    check()
    assert sum(outcomes.values()) >= 1000
    assert min(outcomes.values()) > 100


def test_a_share_beyond_any_number_is_no_limit(several_superlms: list[Entry]) -> None:
    choice = search(several_superlms, Budget(macs="999999999999999%"))
    assert choice.feasible == len(several_superlms)
    assert choice.limits["macs"] > 10**20


def test_the_order_of_what_fits_begins_with_the_choice(several_superlms: list[Entry]) -> None:
    budget = Budget(macs="30%", params="30M")
    ranked = rank_feasible(several_superlms, budget)
    choice = search(several_superlms, budget)
    assert ranked[0] == choice.best
    assert len(ranked) == choice.feasible
    assert all(within(entry, absolute(budget, entry.teacher)) for entry in ranked)
    worths = [worth(entry, Score.QUALITY) for entry in ranked]
    assert worths == sorted(worths, reverse=True)
    with pytest.raises(InfeasibleBudget):
        rank_feasible(several_superlms, Budget(macs=1))


def test_a_table_without_the_signals_is_refused_by_name_but_for_scores_that_it_has() -> None:
    new = EVALUATED[0]
    old = STUDENTS[1].model_copy(update={"relation_loss": 0.1, "similarity_loss": 0.1})
    entries = [Entry("new@2", new, TEACHER), Entry("old@1", old, TEACHER)]
    with pytest.raises(InvalidInput, match=r"candidates of old@1 have no quality.*loss or params"):
        search(entries, Budget(macs="100%"))
    assert search(entries, Budget(macs="100%"), score=Score.LOSS).best.superlm == "old@1"
    assert search(entries, Budget(macs="100%"), score=Score.PARAMS).considered == 2
    assert search(entries[:1], Budget(macs="100%")).best.superlm == "new@2"


def test_one_binding_limit_is_named_with_its_least_possible_value() -> None:
    with pytest.raises(
        InfeasibleBudget, match="macs at most 1,000, where 209,715,200 is the least possible"
    ) as e:
        search([Entry("a@1", c, TEACHER) for c in EVALUATED], Budget(macs=1000, params="100%"))
    least = min(STUDENTS, key=lambda c: c.macs)
    assert e.value.members["binding_limit"] == "macs"
    assert e.value.members["asked"] == 1000
    assert e.value.members["least_possible"] == least.macs
    assert e.value.members["nearest_student"]["layers"] == least.layers
    assert e.value.members["nearest_exceeds"] == {"macs": least.macs}
    assert e.value.detail.endswith("of a@1, with macs 209,715,200.")
    assert e.value.problem()["type"] == "infeasible-budget"


def test_a_pair_of_limits_that_excludes_everything_together_is_named() -> None:
    thin = EVALUATED[255]
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
    candidate = EVALUATED[0].model_copy(update={"neighbour_agreement": 0.9})
    worse = candidate.model_copy(update={"neighbour_agreement": 0.1})
    entries = [Entry("of-cheap@1", candidate, cheap), Entry("of-big@1", worse, TEACHER)]
    choice = search(entries, Budget(macs="50%"))
    assert choice.best.superlm == "of-big@1"
    assert choice.limits == {"macs": TEACHER.macs // 2}


def test_a_student_exactly_at_the_limit_fits() -> None:
    entries = [Entry("a@1", c, TEACHER) for c in EVALUATED]
    least = min(EVALUATED, key=lambda c: c.params)
    assert search(entries, Budget(params=least.params)).best.candidate == least


def test_no_candidates_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no SuperLM was given"):
        search([], Budget(macs=5))


def test_a_row_is_json_with_its_superlm() -> None:
    row = Entry("a@1", STUDENTS[0], TEACHER).row()
    assert row["superlm"] == "a@1"
    assert row["stock"] is False
    assert Cost(**{name: row[name] for name in Cost.model_fields}) == STUDENTS[0].cost
