import math
import random
import sys
from collections.abc import Callable

import numpy as np
import pytest

from autodistil.errors import InvalidInput
from autodistil.mixtures.front import Point, pareto_front
from autodistil.mixtures.search import evolve
from autodistil.spaces.architecture import HeadPolicy, SubSpace
from autodistil.spaces.cost import exact_macs
from autodistil.spaces.mixture import Mixture
from autodistil.spaces.mixture_space import MixtureSpace
from tests.factories import STOCK_SPACE

WIDE = SubSpace(
    name="tiny",
    head_policy=HeadPolicy.STOCK,
    head_width=32,
    layers=(2, 3, 4),
    hidden=(64, 96, 128),
    ffn_percent=(200, 250, 300, 350),
)
SPACE = MixtureSpace(WIDE, {2: (2, 3), 3: (0, 2, 3), 4: (0, 1, 2, 3)})
WEIGHTS = {4: (0.3, 2.0, 0.1, 1.0), 3: (0.3, 0.1, 1.0), 2: (0.1, 1.0)}


def agreement(mixture: Mixture) -> float:
    """Some layers are worth more than others, so that mixtures beat students."""
    layers = zip(WEIGHTS[mixture.layers], mixture.heads, mixture.intermediate, strict=True)
    return math.log(mixture.hidden) + sum(
        weight * (math.log(ffn) + 0.5 * math.log(heads)) for weight, heads, ffn in layers
    )


STUDENTS = {m: agreement(m) for m in map(Mixture.of, WIDE.students())}


def area(mixtures: list[Mixture]) -> float:
    front = pareto_front(Point(m, exact_macs(m), agreement(m)) for m in [*STUDENTS, *mixtures])
    ends = [math.log(point.macs) for point in front] + [math.log(exact_macs(WIDE.largest))]
    return sum((ends[i + 1] - ends[i]) * point.agreement for i, point in enumerate(front))


def run(
    evaluations: int, seed: int = 0, score: Callable[[Mixture], float] = agreement
) -> list[Mixture]:
    return evolve(SPACE, STUDENTS, score, evaluations, 24, seed)


def test_the_same_arguments_find_the_same_and_more_evaluations_go_on_from_there() -> None:
    np.random.seed(1)
    first = run(90)
    np.random.seed(2)
    random.seed(3)
    assert run(90) == first
    assert run(61) == first[:61]
    assert run(150)[:90] == first
    assert run(90, seed=1) != first


def test_every_mixture_is_scored_once_and_no_student_again() -> None:
    scored: list[Mixture] = []

    def score(mixture: Mixture) -> float:
        scored.append(mixture)
        return agreement(mixture)

    found = run(200, score=score)
    assert found == scored
    assert len(set(found)) == len(found) == 200
    assert not set(found) & set(STUDENTS)
    assert all(mixture in SPACE for mixture in found)


def test_it_beats_as_many_random_mixtures() -> None:
    for seed in range(2):
        rng = random.Random(seed)
        drawn = [
            SPACE.decode([rng.randrange(count) for count in SPACE.choices]) for _ in range(200)
        ]
        evolved, at_random = area(run(200, seed)), area(drawn)
        assert evolved - area([]) > 1.3 * (at_random - area([])) > 0


def test_a_small_space_is_searched_to_its_end() -> None:
    tiny = STOCK_SPACE.model_copy(update={"layers": (2,), "hidden": (16,)})
    space = MixtureSpace(tiny, {2: (0, 1)})
    students = dict.fromkeys(map(Mixture.of, tiny.students()), 1.0)
    found = evolve(space, students, lambda m: sum(m.intermediate), 1000, 8, 0)
    assert len(found) == space.size - len(students) == 2


def test_a_space_of_students_alone_has_nothing_to_search() -> None:
    single = STOCK_SPACE.model_copy(update={"layers": (2,), "hidden": (16,), "ffn_percent": (200,)})
    space = MixtureSpace(single, {2: (0, 1)})
    assert space.size == 1
    assert evolve(space, {Mixture.of(single.largest): 1.0}, lambda m: 1.0, 10, 8, 0) == []


def test_a_front_larger_than_a_generation_is_searched_on() -> None:
    assert len(evolve(SPACE, STUDENTS, agreement, 30, 4, 0)) == 30


def test_without_pymoo_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymoo", None)
    with pytest.raises(InvalidInput, match=r"pip install 'autodistil\[mixtures\]'"):
        run(1)
