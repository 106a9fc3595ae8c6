"""How far apart rank statistics may be that were computed in two ways.

Two ways of computing differ by rounding, and by how much depends on the processor. A loss differs
by as little. A rank does not: where two values are nearly equal, one way puts the one first,
another the other, and a rank correlation over few pairs moves by far more than any rounding. So
losses are compared by a relative difference, and rank correlations by what such swaps can change.
The same code on the same shapes gives the same bits and needs none of this.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import pytest
from scipy.stats import rankdata

from autodistil.evaluation.comparison import sentence_pairs
from autodistil.evaluation.held_out_text import NEIGHBOURS
from autodistil.text.corpus import Batch

FEW = 5
"""Swaps that rounding may cause in a batch of held-out text; one was seen, of 140 pairs."""

ROUNDING = 1e-5
"""Cosines that two ways of computing may put in either order are no further apart than this; the
two ways themselves differ by about 1e-6."""


def moved_by_swaps(count: int, swaps: int = FEW) -> float:
    """By how much Spearman's correlation of `count` values moves at most with a few swaps.

    It is 1 - 6 D / (n (n² - 1)) with D the sum of the squared differences of ranks. If two values
    of neighbouring ranks change places, D changes by twice the difference of their ranks on the
    other side, which is n - 1 at most.
    """
    return swaps * 12 / (count * (count + 1))


def moved_by_near_ties(
    first: Sequence[float], second: Sequence[float], close: float = ROUNDING
) -> float:
    """By how much their correlation moves at most if all that nearly tie change places.

    For few values, of which a single swap could change everything: 0 if no two values of a side are
    as close to each other as `close`.
    """
    moved = 0.0
    for values, other in ((first, rankdata(second)), (second, rankdata(first))):
        for i, j in combinations(range(len(values)), 2):
            if abs(values[i] - values[j]) <= close:
                moved += abs(other[i] - other[j]) + 1  # that one may have moved as well
    return 12 * moved / (len(first) * (len(first) ** 2 - 1))


def rank_tolerance(batches: Sequence[Batch], neighbours: int = NEIGHBOURS) -> float:
    """How far agreements on some batches may be apart, a mean over them as they are."""
    moved = 0.0
    for batch in batches:
        kinds = sentence_pairs(len(batch.input_ids), neighbours)
        counts = [len(pairs[0]) for pairs in kinds if len(pairs[0]) > 1]
        moved += max(map(moved_by_swaps, counts), default=0.0)
    return moved / len(batches)


def assert_same_signals(
    found: Mapping[str, float],
    expected: Mapping[str, float],
    ranks: float | Mapping[str, float],
    rel: float = 1e-4,
) -> None:
    """Compare the signals of a student.

    Args:
        found: By the names of `Signals`.
        expected: The same.
        ranks: How far apart agreements may be, one for all or by name.
        rel: The same for losses, as a share.
    """
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if name.endswith("agreement"):
            near = ranks if isinstance(ranks, float) else ranks[name]
            wanted = pytest.approx(value, abs=near + 1e-6, rel=0)
        else:
            wanted = pytest.approx(value, rel=rel)
        assert found[name] == wanted, name
