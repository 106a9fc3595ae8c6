"""Refusals name what binds, how far it would have to give, and who is nearest."""

import random

import pytest

from autodistil.errors import InfeasibleBudget
from autodistil.search.budget import Budget
from autodistil.search.choice import search
from autodistil.search.entry import Entry
from tests.autodistil.search.brute_force import (
    EVALUATED,
    STUDENTS,
    TEACHER,
    brute_force,
    check_refusal,
    random_budget,
    table,
)


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
