"""Measuring how long a student takes for one forward of a batch on this machine.

Students take turns: in every round each has its turn, in a new order, so that whatever else the
machine does meanwhile slows all of them alike. A turn begins with forwards that do not count and
bring the student's weights back into the caches.
"""

import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from autodistil.errors import InvalidInput
from autodistil.latency.conditions import Percentile

Forward = Callable[[], object]
"""One forward of a batch."""
Milliseconds = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]


class Latency(BaseModel):
    """The measured latency of one student.

    Attributes:
        p10_ms: A tenth of the runs took less.
        p50_ms: Half of them did.
        p90_ms: Nine tenths did.
        runs: How many were timed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    p10_ms: Milliseconds
    p50_ms: Milliseconds
    p90_ms: Milliseconds
    runs: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.p10_ms <= self.p50_ms <= self.p90_ms:
            raise ValueError("p10_ms, p50_ms and p90_ms must not fall")
        return self

    @classmethod
    def of(cls, times_ms: Sequence[float]) -> Self:
        """The percentiles of some runs.

        Args:
            times_ms: Milliseconds of each run.

        Raises:
            InvalidInput: There are none, or one is no positive number.
        """
        if not times_ms or not all(0 < time_ms < 1e9 for time_ms in times_ms):
            raise InvalidInput("A latency needs at least one run, all of a positive time.")
        if len(times_ms) == 1:
            deciles = [times_ms[0]] * 9
        else:
            deciles = statistics.quantiles(times_ms, n=10, method="inclusive")
        p10, p50, p90 = (round(deciles[index], 4) for index in (0, 4, 8))
        return cls(p10_ms=p10, p50_ms=p50, p90_ms=p90, runs=len(times_ms))

    @property
    def spread_ms(self) -> float:
        """From the 10th to the 90th percentile: four fifths of the runs lie in between."""
        return self.p90_ms - self.p10_ms

    def percentile(self, percentile: Percentile) -> float:
        """Milliseconds of a percentile."""
        return self.p50_ms if percentile == 50 else self.p90_ms


class Effort(BaseModel):
    """How long is measured.

    Many short turns are better than few long ones: what else the machine does then meets every
    student in the same proportion.

    Attributes:
        rounds: How often each student has its turn.
        runs: Timed forwards per turn.
        warm_up: Forwards before them that do not count.
        seconds: No further round begins after this time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rounds: Annotated[int, Field(ge=1, le=1000)] = 15
    runs: Annotated[int, Field(ge=1, le=1000)] = 4
    warm_up: Annotated[int, Field(ge=0, le=1000)] = 1
    seconds: Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)] = 180.0


def measure_in_turns(
    students: Sequence[Callable[[], Forward]],
    effort: Effort,
    seed: int = 0,
    on_turn: Callable[[int, int], None] = lambda turn, turns: None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Latency]:
    """Measure students that take turns.

    Args:
        students: For each student a function that makes it ready to run.
        effort: Rounds and runs.
        seed: Of the order within each round.
        on_turn: Called after each turn with the number of turns done and of all, and at the end
            with all done; may raise to stop.
        clock: Seconds that never fall.

    Returns:
        The latency of each student, in the order given.
    """
    rng = random.Random(seed)
    times_ms: list[list[float]] = [[] for _ in students]
    done, total = 0, effort.rounds * len(students)
    start = clock()
    for _ in range(effort.rounds):
        for index in rng.sample(range(len(students)), len(students)):
            times_ms[index] += _turn(students[index](), effort, clock)
            done += 1
            on_turn(done, total)
        if clock() - start > effort.seconds:
            break
    on_turn(total, total)
    return [Latency.of(times) for times in times_ms]


def _turn(forward: Forward, effort: Effort, clock: Callable[[], float]) -> list[float]:
    for _ in range(effort.warm_up):
        forward()
    times_ms = []
    for _ in range(effort.runs):
        start = clock()
        forward()
        times_ms.append((clock() - start) * 1000)
    return times_ms


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use so many threads for one operation; what it used before holds again after."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
