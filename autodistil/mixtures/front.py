"""Fronts of agreement against MACs, and what one front gains over another with what certainty."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from autodistil.spaces.cost import exact_macs
from autodistil.spaces.mixture import Mixture

Qualities = Mapping[Mixture, Sequence[float]]
"""For each mixture its agreement on every batch."""


class Point(NamedTuple):
    """A mixture with its MACs and its mean agreement over some batches."""

    mixture: Mixture
    macs: int
    agreement: float


class Estimate(BaseModel):
    """A mean over batches with a confidence interval, by Student's t distribution."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float], confidence: float) -> "Estimate":
        """The mean of values of which there are at least two."""
        from scipy.stats import t as student_t  # slow to import, and no command starts with it

        mean, count = fmean(values), len(values)
        error = float(np.std(values, ddof=1)) / math.sqrt(count)
        half = float(student_t.ppf(0.5 + confidence / 2, count - 1)) * error
        return cls(mean=mean, low=mean - half, high=mean + half)


def points(qualities: Qualities) -> list[Point]:
    """Each mixture with its mean agreement."""
    return [Point(m, exact_macs(m), fmean(values)) for m, values in qualities.items()]


def pareto_front(found: Iterable[Point]) -> list[Point]:
    """Those that no other one beats in MACs and agreement, from the fewest MACs on."""
    front: list[Point] = []
    for point in sorted(found, key=lambda p: (p.macs, -p.agreement, p.mixture.name)):
        if not front or point.agreement > front[-1].agreement:
            front.append(point)
    return front


def best_within(found: Iterable[Point], macs: float) -> Point:
    """The best with no more than so many MACs; among equals the cheapest.

    Raises:
        ValueError: There is none.
    """
    within = [point for point in found if point.macs <= macs]
    return max(within, key=lambda p: (p.agreement, -p.macs))


def propose(grid: Qualities, mixtures: Qualities, most: int) -> list[Mixture]:
    """Mixtures on the common front with the grid's students, few and of many sizes.

    The range of MACs is cut into `most` equal parts on a logarithmic scale, and the mixture that
    exceeds the grid's best within its own MACs by most speaks for each.

    Args:
        grid: The students of the sub-space.
        mixtures: Mixtures that are none of them.
        most: How many to name at most.
    """
    students = points(grid)
    front = [p for p in pareto_front([*students, *points(mixtures)]) if p.mixture in mixtures]
    if not front:
        return []
    low, high = math.log(front[0].macs), math.log(front[-1].macs)
    chosen: dict[int, tuple[float, Mixture]] = {}
    for point in front:
        part = int((math.log(point.macs) - low) / ((high - low) or 1.0) * most)
        gain = point.agreement - best_within(students, point.macs).agreement
        part = min(part, most - 1)
        if part not in chosen or gain > chosen[part][0]:
            chosen[part] = (gain, point.mixture)
    return [mixture for _, mixture in chosen.values()]


def gain_over_budgets(
    chosen_by: Qualities, judged_by: Qualities, grid: Sequence[Mixture], more: Sequence[Mixture]
) -> list[float]:
    """What choosing among more mixtures gains, averaged over all budgets of MACs.

    For every budget the best is chosen twice, among the grid and among both. The difference is
    averaged over budgets on a logarithmic scale: it is the area between the two fronts, or the
    hypervolume gained, divided by the range.

    Args:
        chosen_by: Qualities by which to choose.
        judged_by: Qualities on other batches, by which the chosen are compared.
        grid: Students of the sub-space.
        more: Further mixtures.

    Returns:
        The gain in agreement on each batch of `judged_by`.
    """
    students = points({m: chosen_by[m] for m in grid})
    everything = [*students, *points({m: chosen_by[m] for m in more})]
    start = min(point.macs for point in students)  # below it the grid has nothing to compare
    budgets = sorted({max(point.macs, start) for point in everything})
    gains = np.zeros(len(judged_by[grid[0]]))
    for low, high in pairwise(budgets):
        new = np.array(judged_by[best_within(everything, low).mixture])
        old = np.array(judged_by[best_within(students, low).mixture])
        gains += (new - old) * math.log(high / low)
    return [float(gain) for gain in gains / (math.log(budgets[-1] / budgets[0]) or 1.0)]
