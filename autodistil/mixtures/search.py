"""Evolutionary search for mixtures: few MACs and high agreement at once, by NSGA-II of pymoo.

Deb et al., *A fast and elitist multiobjective genetic algorithm: NSGA-II*, 2002. The same arguments
lead through the same mixtures in the same order, so a search is resumed by running it again with a
score that remembers.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autodistil.mixtures.front import Point, pareto_front
from autodistil.optional import import_optional
from autodistil.spaces.cost import exact_macs
from autodistil.spaces.mixture import Mixture
from autodistil.spaces.mixture_space import Genes, MixtureSpace

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

Search = Callable[
    [MixtureSpace, Mapping[Mixture, float], Callable[[Mixture], float], int, int, int],
    list[Mixture],
]
"""A function with the arguments of `evolve`."""

_ETA = 3.0
"""Of the polynomial mutation: small enough that a step is often longer than one choice."""


def check_pymoo() -> None:
    """Refuse to begin without the package `pymoo`, which is optional.

    Raises:
        InvalidInput: It is not installed.
    """
    import_optional("pymoo", "mixtures", "Searching mixtures")


def evolve(
    space: MixtureSpace,
    students: Mapping[Mixture, float],
    score: Callable[[Mixture], float],
    evaluations: int,
    population: int,
    seed: int,
) -> list[Mixture]:
    """Search the mixtures that no other one beats in both MACs and score.

    Args:
        space: Where to search.
        students: Mixtures whose scores are known; the search starts from the front of them.
        score: Quality of a mixture, more is better; called once for each.
        evaluations: How many mixtures to score.
        population: Mixtures of a generation; the first is filled up to it with random ones.
        seed: Of everything that is drawn.

    Returns:
        The scored mixtures in the order they were found, none of `students` among them; fewer than
        `evaluations` where the space has no more, or evolution finds no new ones.

    Raises:
        InvalidInput: The package `pymoo` is not installed.
    """
    known = dict(students)
    found: list[Mixture] = []
    front = pareto_front(Point(m, exact_macs(m), agreement) for m, agreement in known.items())
    start = [point.mixture for point in front]
    first = _first_generation(space, start, population, random.Random(seed))
    algorithm = _algorithm(space, first, population, seed, known.keys())
    while len(found) < evaluations:
        generation = algorithm.ask()
        if generation is None or not len(generation):
            break  # nothing left that was not scored
        mixtures = [space.decode(genes) for genes in generation.get("X")]
        new = [mixture for mixture in dict.fromkeys(mixtures) if mixture not in known]
        for mixture in new[: evaluations - len(found)]:
            known[mixture] = score(mixture)
            found.append(mixture)
        if any(mixture not in known for mixture in mixtures):
            break  # out of evaluations inside a generation
        # The logarithm spaces the front evenly from the smallest to the largest.
        objectives = [(math.log(exact_macs(m)), -known[m]) for m in mixtures]
        generation.set("F", np.array(objectives))
        algorithm.tell(infills=generation)
    return found


def _first_generation(
    space: MixtureSpace, start: Sequence[Mixture], population: int, rng: random.Random
) -> list[Genes]:
    genes = {mixture: space.encode(mixture) for mixture in start}
    for _ in range(100 * population):  # a small space may have too few
        if len(genes) >= population:
            break
        drawn = tuple(rng.randrange(count) for count in space.choices)
        genes.setdefault(space.decode(drawn), drawn)
    return list(genes.values())


def _algorithm(
    space: MixtureSpace,
    first: Sequence[Genes],
    population: int,
    seed: int,
    known: "AbstractSet[Mixture]",
) -> Any:
    """NSGA-II over the genes; `known` are the mixtures scored so far, now and later."""
    check_pymoo()
    from pymoo.algorithms.moo.nsga2 import NSGA2, binary_tournament
    from pymoo.core.duplicate import DuplicateElimination
    from pymoo.core.mating import Mating
    from pymoo.core.problem import Problem
    from pymoo.operators.crossover.ux import UniformCrossover
    from pymoo.operators.mutation.pm import PolynomialMutation
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.selection.tournament import TournamentSelection
    from pymoo.termination.max_gen import MaximumGenerationTermination

    class Unscored(DuplicateElimination):  # type: ignore[misc]  # pymoo is untyped
        """Sorts out children that are mixtures scored before, whatever their genes."""

        def _do(self, pop: Any, other: Any, is_duplicate: Any) -> Any:
            siblings = () if other is None else other.get("X")
            seen = {*known, *map(space.decode, siblings)}
            for index, mixture in enumerate(map(space.decode, pop.get("X"))):
                is_duplicate[index] = mixture in seen
                seen.add(mixture)
            return is_duplicate

    most = np.array(space.choices) - 1
    mating = Mating(
        TournamentSelection(func_comp=binary_tournament),
        UniformCrossover(),
        PolynomialMutation(eta=_ETA, vtype=float, repair=RoundingRepair()),
        eliminate_duplicates=Unscored(),
    )
    algorithm = NSGA2(
        pop_size=population,
        sampling=np.array(first),
        mating=mating,
        eliminate_duplicates=False,  # of the first generation, which is known
        seed=seed,
    )
    problem = Problem(n_var=len(most), n_obj=2, xl=np.zeros_like(most), xu=most, vtype=int)
    return algorithm.setup(problem, termination=MaximumGenerationTermination(10**9), verbose=False)
