"""Profiling a device: a stratified sample of dense students is measured, a predictor fitted."""

import datetime
import random
import statistics
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from autodistil.errors import InvalidInput
from autodistil.families.architecture import Architecture
from autodistil.families.encoder import EncoderConfig
from autodistil.latency.conditions import Conditions
from autodistil.latency.device_profile import (
    ConditionsProfile,
    DeviceProfile,
    ProfilingRequest,
    Sample,
)
from autodistil.latency.machine import Machine
from autodistil.latency.measurement import Effort, Latency, measure_in_turns, torch_threads
from autodistil.latency.predictor import FEWEST, Predictor, held_out_errors
from autodistil.profiling.dense_students import RandomStudents, check_conditions
from autodistil.spaces.cost import exact_macs
from autodistil.spaces.spec import SuperLMSpec


def profile_spaces(
    name: str,
    superlms: Sequence[SuperLMSpec],
    request: ProfilingRequest,
    threads: int,
    seed: int = 0,
    on_turn: Callable[[int, int], None] = lambda turn, turns: None,
) -> DeviceProfile:
    """Profile this machine with students drawn from the sub-spaces of some SuperLMs.

    All are given the vocabulary and activation of the SuperLM with the most positions.

    Args:
        name: Name of the device.
        superlms: Specs of the SuperLMs whose students will be asked for.
        request: How many students, under which conditions, and how long.
        threads: Threads where the request names none.
        seed: Of sample, order, and weights.
        on_turn: See `profile_device`.

    Raises:
        InvalidInput: There are too few students, or the request cannot be carried out here.
    """
    if not superlms:
        raise InvalidInput("There is no SuperLM whose students could be measured.")
    students = (student for spec in superlms for student in spec.space.students())
    sample = stratified_sample(students, request.students, seed)
    encoder = max((s.encoder for s in superlms), key=lambda e: e.positions)
    conditions = [asked.with_threads(threads) for asked in request.conditions]
    return profile_device(name, sample, encoder, conditions, request.effort, seed, on_turn)


def stratified_sample(
    students: Iterable[Architecture], count: int, seed: int = 0
) -> list[Architecture]:
    """Students of all sizes: one drawn from each of `count` equal shares of them, ranked by MACs.

    The cheapest and the most expensive are always among them.

    Args:
        students: All there are; the same twice counts once.
        count: How many to draw; all if there are no more.
        seed: Of the drawing.
    """
    ranked = sorted(set(students), key=lambda student: (exact_macs(student), student.name))
    if count >= len(ranked):
        return ranked
    rng = random.Random(seed)
    ends = [round(share * len(ranked) / count) for share in range(count + 1)]
    drawn = [rng.choice(ranked[ends[i] : ends[i + 1]]) for i in range(count)]
    drawn[0], drawn[-1] = ranked[0], ranked[-1]
    return drawn


def profile_device(
    name: str,
    students: Sequence[Architecture],
    encoder: EncoderConfig,
    conditions: Sequence[Conditions],
    effort: Effort | None = None,
    seed: int = 0,
    on_turn: Callable[[int, int], None] = lambda turn, turns: None,
) -> DeviceProfile:
    """Measure students on this machine under each of some conditions, and fit predictors.

    Args:
        name: Name of the device.
        students: The students to measure.
        encoder: Vocabulary and activation to give them.
        conditions: Under each of these all students are measured.
        effort: How long is measured under each.
        seed: Of the order and the weights.
        on_turn: Called after each turn with the number of turns done and of all; may raise to stop.

    Raises:
        InvalidInput: There are too few students or no conditions, a package is missing, or the
            encoder has too few positions for the sequence length.
    """
    if len(students) <= FEWEST:
        raise InvalidInput(
            f"A device is profiled with more than {FEWEST} students, not with {len(students)}."
        )
    if not conditions:
        raise InvalidInput("Name the conditions to profile the device under.")
    effort, kinds = effort or Effort(), list(dict.fromkeys(conditions))
    for each in kinds:
        check_conditions(each, encoder.positions)
    profiled = []
    for number, each in enumerate(kinds):

        def on_one(turn: int, turns: int, before: int = number) -> None:
            on_turn(before * turns + turn, len(kinds) * turns)

        ready = RandomStudents(students, encoder, each, seed)
        with torch_threads(each.threads):
            forwards = [partial(ready.forward, student) for student in students]
            latencies = measure_in_turns(forwards, effort, seed, on_one)
        profiled.append(fit_profile(each, students, latencies))
    return DeviceProfile(
        name=name,
        machine=Machine.this(),
        encoder=encoder,
        effort=effort,
        seed=seed,
        created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        profiled=tuple(profiled),
    )


def fit_profile(
    conditions: Conditions, students: Sequence[Architecture], latencies: Sequence[Latency]
) -> ConditionsProfile:
    """A predictor with what it was fitted to, and how well it predicts what it did not see.

    Args:
        conditions: Under which all were measured.
        students: The students measured.
        latencies: Of each of them.

    Raises:
        InvalidInput: There are too few students.
    """
    predictor = Predictor.fit(students, latencies)
    errors = sorted(abs(error) for error in held_out_errors(students, latencies))
    return ConditionsProfile(
        conditions=conditions,
        samples=tuple(
            Sample(architecture=student, latency=latency)
            for student, latency in zip(students, latencies, strict=True)
        ),
        predictor=predictor,
        median_error=round(statistics.median(errors), 5),
        p90_error=round(statistics.quantiles(errors, n=10, method="inclusive")[-1], 5),
    )
