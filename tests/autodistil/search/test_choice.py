import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodistil.errors import InfeasibleBudget, InvalidInput
from autodistil.evaluation.quality import Score
from autodistil.search.budget import AXES, Budget
from autodistil.search.choice import rank_feasible, search
from autodistil.search.entry import Entry
from autodistil.spaces.cost import Cost
from tests.autodistil.search.brute_force import (
    CHEAP,
    EVALUATED,
    STUDENTS,
    TEACHER,
    absolute,
    brute_force,
    check_refusal,
    random_budget,
    table,
    within,
    worth,
)


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


amounts = st.one_of(
    st.integers(1, 200).map(lambda percent: f"{percent}%"),
    st.floats(-3.5, 0.1).map(lambda power: int(TEACHER.macs * 10**power)),
    st.floats(-3.5, 0.1).map(lambda power: int(TEACHER.params * 10**power)),
)
budgets = st.dictionaries(st.sampled_from(AXES), amounts, min_size=1).map(Budget.model_validate)


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
    old = STUDENTS[1].model_copy(update={"vector_distance": 0.1})
    entries = [Entry("new@2", new, TEACHER), Entry("old@1", old, TEACHER)]
    with pytest.raises(InvalidInput, match=r"candidates of old@1 have no quality.*loss or params"):
        search(entries, Budget(macs="100%"))
    with pytest.raises(InvalidInput, match=r"candidates of old@1 have no loss"):
        search(entries, Budget(macs="100%"), score=Score.LOSS)
    assert search(entries, Budget(macs="100%"), score=Score.PARAMS).considered == 2
    assert search(entries[:1], Budget(macs="100%")).best.superlm == "new@2"


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
