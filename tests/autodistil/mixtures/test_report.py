"""What is reported of mixtures, and with what certainty."""

import pytest

from autodistil.mixtures.front import Estimate, gain_over_budgets, points
from autodistil.mixtures.report import CONFIDENCE, judge
from autodistil.spaces.mixture import Mixture
from autodistil.spaces.mixture_space import MixtureSpace
from autodistil.superlm.bundle import SuperLM


def test_only_what_is_surely_better_is_held(stock_superlm: SuperLM) -> None:
    spec = stock_superlm.spec
    grid = {Mixture.of(s): [0.1, 0.1, 0.1, 0.1] for s in spec.space.students()}
    grid[Mixture.of(spec.space.largest)] = [0.5, 0.52, 0.48, 0.5]

    def mixture(*widths: int) -> Mixture:
        return Mixture(hidden=16, head_width=8, heads=(2,) * len(widths), intermediate=widths)

    confirmation = {
        mixture(32, 64): [0.2, 0.21, 0.2, 0.19],  # surely better
        mixture(64, 32): [0.0, 0.9, -0.3, 0.4],  # better only on the mean
        mixture(64, 128): [0.05, 0.06, 0.05, 0.04],  # worse
        mixture(128, 64): [0.15, 0.16, 0.15, 0.14],  # better, but beaten by the first
        mixture(128, 64, 128): [0.3, 0.31, 0.3, 0.29],  # better
    }
    selection = {m: [0.9] for m in (*grid, *confirmation)}
    held, dropped = judge(spec, selection, {**grid, **confirmation}, list(confirmation))
    assert [row.mixture for row in held] == [mixture(32, 64), mixture(128, 64, 128)]
    assert {row.mixture for row in dropped} == set(confirmation) - {row.mixture for row in held}
    first = held[0]
    assert first.gain.mean == pytest.approx(0.1)
    expected = Estimate.of([0.1, 0.11, 0.1, 0.09], 1 - (1 - CONFIDENCE) / 5)
    assert (first.gain.low, first.gain.high) == pytest.approx((expected.low, expected.high))
    assert first.equal == spec.space.largest.name
    largest = next(p for p in points(grid) if p.mixture.uniform == spec.space.largest)
    assert first.macs_saved == pytest.approx(1 - first.cost.macs / largest.macs)


def test_a_gain_by_chance_is_seldom_held(stock_superlm: SuperLM) -> None:
    """Mixtures that are no better than students: at most one search in twenty reports any."""
    import random

    spec = stock_superlm.spec
    space = MixtureSpace.of(spec)
    rng = random.Random(0)
    grid = [Mixture.of(student) for student in spec.space.students()]
    reported, gains, runs = 0, 0, 100
    for _ in range(runs):
        drawn = {space.decode([rng.randrange(c) for c in space.choices]) for _ in range(8)}
        proposed = [m for m in drawn if m not in grid]
        qualities = {m: [rng.gauss(0.5, 0.1) for _ in range(12)] for m in (*grid, *proposed)}
        chosen_by = {m: [rng.gauss(0.5, 0.1)] for m in qualities}
        held, _ = judge(spec, chosen_by, qualities, proposed)
        reported += bool(held)
        found = Estimate.of(gain_over_budgets(chosen_by, qualities, grid, proposed), CONFIDENCE)
        gains += found.low > 0
    assert reported <= 0.05 * runs
    assert gains <= 0.07 * runs
