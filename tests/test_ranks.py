"""The tolerances of `tests.ranks` against every order that rounding could give."""

import random
from itertools import product

import pytest
from scipy.stats import spearmanr

from tests.ranks import assert_same_signals, moved_by_near_ties, moved_by_swaps


@pytest.mark.parametrize("count", [3, 10, 140])
def test_one_swap_moves_a_correlation_by_no_more_than_that(count: int) -> None:
    rng, most = random.Random(count), 0.0
    for _ in range(20):
        other = rng.sample(range(count), count)
        whole = spearmanr(range(count), other).statistic
        for place in range(count - 1):
            swapped = list(range(count))
            swapped[place : place + 2] = place + 1, place
            most = max(most, abs(spearmanr(swapped, other).statistic - whole))
    assert most <= moved_by_swaps(count, 1) + 1e-12
    assert most > moved_by_swaps(count, 1) / 2


def test_values_that_nearly_tie_move_it_by_no_more_than_that() -> None:
    first, second = [0.1, 0.1 + 1e-7, 0.4, 0.7, 0.7], [0.9, 0.2, 0.5, 0.5 + 1e-7, 0.1]
    whole, bound = spearmanr(first, second).statistic, moved_by_near_ties(first, second)
    moved = [
        abs(
            spearmanr(
                [value + rounding for value, rounding in zip(first, signs[:5], strict=True)],
                [value + rounding for value, rounding in zip(second, signs[5:], strict=True)],
            ).statistic
            - whole
        )
        for signs in product((-1e-6, 1e-6), repeat=10)
    ]
    assert bound / 4 < max(moved) <= bound


def test_values_that_are_far_apart_move_it_not_at_all() -> None:
    assert moved_by_near_ties([0.1, 0.2, 0.3], [0.5, 0.1, 0.9]) == 0


def test_losses_are_held_to_rounding_and_agreements_to_swaps() -> None:
    expected = {"relation_loss": 1.0, "neighbour_agreement": 0.5}
    assert_same_signals({**expected, "neighbour_agreement": 0.502}, expected, 3e-3)
    for changed in ({"relation_loss": 1.002}, {"neighbour_agreement": 0.504}):
        with pytest.raises(AssertionError):
            assert_same_signals({**expected, **changed}, expected, 3e-3)
