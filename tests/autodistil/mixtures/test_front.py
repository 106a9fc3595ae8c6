import math
import random
from statistics import fmean

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from autodistil.mixtures.front import (
    Estimate,
    Point,
    best_within,
    gain_over_budgets,
    pareto_front,
    points,
    propose,
)
from autodistil.spaces.mixture import Mixture


def mixture(*widths: int) -> Mixture:
    return Mixture(hidden=8, head_width=4, heads=(2,) * len(widths), intermediate=widths)


def random_points(seed: int, count: int = 30) -> list[Point]:
    rng = random.Random(seed)
    return [
        Point(mixture(i + 1), rng.randrange(1, 20), rng.randrange(20) / 10) for i in range(count)
    ]


@pytest.mark.parametrize("seed", range(20))
def test_the_front_is_what_none_beats(seed: int) -> None:
    everything = random_points(seed)
    front = pareto_front(everything)

    def beaten(p: Point) -> bool:
        return any(
            q.macs <= p.macs
            and q.agreement >= p.agreement
            and (q.macs, q.agreement) != (p.macs, p.agreement)
            for q in everything
        )

    expected = {(p.macs, p.agreement) for p in everything if not beaten(p)}
    assert {(p.macs, p.agreement) for p in front} == expected
    assert [p.macs for p in front] == sorted({p.macs for p in front})
    for budget in range(min(p.macs for p in everything), 21):
        best = best_within(everything, budget)
        assert best.agreement == max(p.agreement for p in everything if p.macs <= budget)
        assert best.agreement == best_within(front, budget).agreement


def test_an_estimate_is_a_mean_with_students_interval() -> None:
    values = [0.1, 0.4, 0.25, -0.2, 0.3]
    found = Estimate.of(values, 0.9)
    expected = ttest_1samp(values, 0.0).confidence_interval(0.9)
    assert found.mean == pytest.approx(fmean(values))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert Estimate.of([0.5, 0.5], 0.99) == Estimate(mean=0.5, low=0.5, high=0.5)


def test_intervals_hold_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    held = [
        found.low <= 1.0 <= found.high
        for found in (Estimate.of(list(rng.normal(1.0, 2.0, 6)), 0.9) for _ in range(1000))
    ]
    assert 0.87 < fmean(held) < 0.93


GRID = {mixture(10): [0.1, 0.3], mixture(100): [0.5, 0.5], mixture(1000): [0.9, 0.9]}


def test_proposals_are_on_the_front_and_few_of_many_sizes() -> None:
    better = {mixture(15 * i): [0.2 + i / 80, 0.2 + i / 80] for i in range(1, 60)}
    worse = {mixture(51): [0.1, 0.1], mixture(1001): [0.9, 0.9]}
    front = {p.mixture for p in pareto_front(points({**GRID, **better})) if p.mixture in better}
    every = propose(GRID, {**better, **worse}, 1000)
    assert set(every) == front
    for most in (1, 3, 8):
        few = propose(GRID, {**better, **worse}, most)
        assert 1 <= len(few) <= most
        assert set(few) <= front
    macs = {p.mixture: p.macs for p in points(better)}
    few = propose(GRID, {**better, **worse}, 8)
    assert len(few) > 3
    assert [macs[m] for m in few] == sorted(macs[m] for m in few)


def test_of_neighbours_the_largest_gain_is_proposed() -> None:
    near = {mixture(20): [0.3, 0.3], mixture(21): [0.45, 0.47], mixture(200): [0.51, 0.51]}
    assert propose(GRID, near, 1) == [mixture(21)]


def test_nothing_is_proposed_where_nothing_is_better() -> None:
    assert propose(GRID, {}, 5) == []
    assert propose(GRID, {mixture(101): [0.5, 0.5]}, 5) == []


def test_the_gain_over_budgets_is_the_area_between_the_choices() -> None:
    rng = random.Random(1)
    grid = [mixture(width) for width in (10, 30, 100, 300)]
    more = [mixture(width, 7) for width in (12, 40, 90, 500)]
    chosen_by = {m: [rng.random(), rng.random()] for m in (*grid, *more)}
    judged_by = {m: [rng.random() for _ in range(3)] for m in (*grid, *more)}
    found = gain_over_budgets(chosen_by, judged_by, grid, more)

    students, everything = points({m: chosen_by[m] for m in grid}), points(chosen_by)
    low = math.log(min(p.macs for p in students))
    high = math.log(max(p.macs for p in everything))
    steps = 20_000
    sums = np.zeros(3)
    for step in range(steps):
        budget = math.exp(low + (step + 0.5) / steps * (high - low))
        new, old = best_within(everything, budget), best_within(students, budget)
        sums += np.array(judged_by[new.mixture]) - np.array(judged_by[old.mixture])
    assert found == pytest.approx(list(sums / steps), abs=1e-3)
    assert max(map(abs, found)) > 0.01


def test_without_more_there_is_no_gain() -> None:
    assert gain_over_budgets(GRID, GRID, list(GRID), []) == [0.0, 0.0]
    one = [mixture(10)]
    assert gain_over_budgets(GRID, GRID, one, []) == [0.0, 0.0]
