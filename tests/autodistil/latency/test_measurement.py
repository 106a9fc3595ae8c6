import random
from collections.abc import Callable, Iterator

import pytest
import torch
from pydantic import ValidationError

from autodistil.errors import InvalidInput
from autodistil.latency.measurement import Effort, Forward, Latency, measure_in_turns, torch_threads


class FakeMachine:
    """A clock that forwards move, so that timings are exact."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ran: list[str] = []

    def clock(self) -> float:
        return self.now

    def student(self, name: str, seconds: Iterator[float]) -> Callable[[], Forward]:
        def forward() -> None:
            self.ran.append(name)
            self.now += next(seconds)

        return lambda: forward


def steady(seconds: float) -> Iterator[float]:
    while True:
        yield seconds


def test_percentiles_of_known_runs() -> None:
    runs = [float(ms) for ms in range(1, 102)]
    random.Random(0).shuffle(runs)
    latency = Latency.of(runs)
    assert (latency.p10_ms, latency.p50_ms, latency.p90_ms) == (11, 51, 91)
    assert (latency.runs, latency.spread_ms) == (101, 80)
    assert (latency.percentile(50), latency.percentile(90)) == (51, 91)
    single = Latency.of([2.5])
    assert (single.p10_ms, single.p50_ms, single.p90_ms, single.runs) == (2.5, 2.5, 2.5, 1)
    assert Latency.model_validate_json(latency.model_dump_json()) == latency


@pytest.mark.parametrize("runs", [[], [0.0], [1.0, -1.0], [float("nan")], [float("inf")]])
def test_runs_that_took_no_time_are_refused(runs: list[float]) -> None:
    with pytest.raises(InvalidInput):
        Latency.of(runs)


@pytest.mark.parametrize(
    "wrong",
    [{"p10_ms": 3.0}, {"p90_ms": 1.0}, {"p50_ms": -1.0}, {"p50_ms": "nan"}, {"runs": 0}, {"x": 1}],
)
def test_percentiles_that_contradict_each_other_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Latency.model_validate({"p10_ms": 1.0, "p50_ms": 2.0, "p90_ms": 2.5, "runs": 3, **wrong})


def test_students_take_turns_in_a_new_order_each_round() -> None:
    machine = FakeMachine()
    names = list("abcdefgh")
    students = [machine.student(name, steady(0.001 * (i + 1))) for i, name in enumerate(names)]
    turns: list[tuple[int, int]] = []
    effort = Effort(rounds=5, runs=3, warm_up=2)
    found = measure_in_turns(
        students, effort, 7, on_turn=lambda *turn: turns.append(turn), clock=machine.clock
    )
    assert [latency.p50_ms for latency in found] == [float(i + 1) for i in range(8)]
    assert {latency.runs for latency in found} == {15}
    per_turn = effort.runs + effort.warm_up
    order = machine.ran[::per_turn]
    assert machine.ran == [name for name in order for _ in range(per_turn)]
    rounds = [order[start : start + 8] for start in range(0, 40, 8)]
    assert all(sorted(each) == names for each in rounds)
    assert len({tuple(each) for each in rounds}) > 1
    assert turns == [*((n, 40) for n in range(1, 41)), (40, 40)]


def test_warm_up_runs_do_not_count() -> None:
    machine = FakeMachine()
    slow_first = iter([9.0, 0.001, 0.001] * 4)
    (found,) = measure_in_turns(
        [machine.student("a", slow_first)], Effort(rounds=4, runs=2, warm_up=1), clock=machine.clock
    )
    assert (found.p90_ms, found.runs) == (1.0, 8)


def test_a_slow_stretch_of_the_machine_hits_all_students_alike() -> None:
    machine = FakeMachine()

    def disturbed(seconds: float) -> Iterator[float]:
        while True:  # three times as slow from the 10th to the 20th second
            yield seconds * (3 if 10 < machine.now < 20 else 1)

    students = [machine.student(str(i), disturbed(0.01 * (i + 1))) for i in range(10)]
    found = measure_in_turns(students, Effort(rounds=20, runs=2), clock=machine.clock)
    assert machine.now > 25
    assert [latency.p50_ms for latency in found] == [10.0 * (i + 1) for i in range(10)]


def test_no_round_begins_after_the_time_is_up_and_progress_still_ends_at_all() -> None:
    machine = FakeMachine()
    turns: list[tuple[int, int]] = []
    (found,) = measure_in_turns(
        [machine.student("a", steady(1.0))],
        Effort(rounds=100, runs=2, warm_up=0, seconds=5.0),
        on_turn=lambda *turn: turns.append(turn),
        clock=machine.clock,
    )
    assert (found.runs, machine.now) == (6, 6.0)
    assert turns[-2:] == [(3, 100), (100, 100)]


@pytest.mark.parametrize(
    "wrong",
    [{"rounds": 0}, {"runs": 0}, {"warm_up": -1}, {"seconds": 0}, {"seconds": "nan"}, {"x": 1}],
)
def test_an_effort_that_measures_nothing_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Effort.model_validate(wrong)


def test_threads_are_what_they_were_before_also_after_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="stop"), torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise RuntimeError("stop")
    assert torch.get_num_threads() == before
