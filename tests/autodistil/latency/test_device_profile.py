"""Profiles: measured for real on tiny students, kept as JSON, and distrusted when read."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from autodistil.errors import InvalidInput, UnknownDevice, UnprofiledConditions
from autodistil.families.architecture import Architecture
from autodistil.latency.conditions import Conditions, LatencyLimit
from autodistil.latency.device_profile import (
    AskedConditions,
    DeviceProfile,
    ProfilingRequest,
    read_profile,
    write_profile,
)
from autodistil.latency.machine import Machine
from autodistil.latency.measurement import Effort, Latency, torch_threads
from autodistil.profiling.device import fit_profile, profile_device, stratified_sample
from autodistil.search.latency_limit import predict_latency
from autodistil.spaces.cost import exact_macs
from autodistil.spaces.partition import BERT_BASE, PRESETS, partition
from tests.autodistil.profiling.test_dense_students import ENCODER
from tests.factories import FREE_SPACE, STOCK_SPACE

QUICK = Effort(rounds=2, runs=2, warm_up=1)
TINY = [*STOCK_SPACE.students(), *FREE_SPACE.students()]
ONE = Conditions(batch_size=1, sequence_length=16, threads=1)


def made_up_profile(
    name: str = "xeon", conditions: tuple[Conditions, ...] = (ONE,), factor: float = 1.0
) -> DeviceProfile:
    """A profile of a device on which a student takes a ms for every MMAC and layer."""
    latencies = []
    for student in TINY:
        ms = factor * (student.layers + exact_macs(student) / 1e6)
        latencies.append(Latency(p10_ms=ms, p50_ms=ms * 1.05, p90_ms=ms * 1.2, runs=50))
    return DeviceProfile(
        name=name,
        machine=Machine(cpu="made up", cores=2, system="none", versions={}),
        encoder=ENCODER,
        effort=QUICK,
        seed=0,
        created_at="2026-01-01T00:00:00+00:00",
        profiled=tuple(fit_profile(each, TINY, latencies) for each in conditions),
    )


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"])
def test_a_profile_of_this_machine_is_measured_and_read_back(runtime: str, tmp_path: Path) -> None:
    asked = [ONE.model_copy(update={"runtime": runtime, "batch_size": n}) for n in (1, 2, 1)]
    turns: list[tuple[int, int]] = []
    with torch_threads(2):
        profile = profile_device(
            "here", TINY, ENCODER, asked, QUICK, on_turn=lambda *turn: turns.append(turn)
        )
        assert torch.get_num_threads() == 2
    assert [known.conditions.batch_size for known in profile.profiled] == [1, 2]
    for known in profile.profiled:
        assert [sample.architecture for sample in known.samples] == TINY
        assert {sample.latency.runs for sample in known.samples} == {4}
        assert all(sample.latency.p10_ms > 0 for sample in known.samples)
        assert all(ms > 0 for ms in known.predictor.predict(TINY, 90))
        assert 0 <= known.median_error <= known.p90_error
    assert profile.machine == Machine.this()
    assert profile.machine.same_hardware(Machine.this())
    assert [turn for turn, _ in turns] == sorted(turn for turn, _ in turns)
    assert turns[-1] == (64, 64)
    write_profile(profile, tmp_path / "devices" / "here.json")
    assert read_profile(tmp_path / "devices" / "here.json") == profile
    assert [path.name for path in (tmp_path / "devices").iterdir()] == ["here.json"]


def test_what_cannot_be_measured_is_refused_before_anything_is() -> None:
    def refused(match: str, *, students: list[Architecture] = TINY, **conditions: object) -> None:
        asked = [ONE, ONE.model_copy(update=conditions)] if conditions else []
        with pytest.raises(InvalidInput, match=match):
            profile_device("here", students, ENCODER, asked, on_turn=lambda *_: 1 / 0)

    refused("more than 4 students, not with 4", students=TINY[:4], threads=2)
    refused("33 tokens are more than the 32 positions", sequence_length=33)
    refused("Name the conditions")


def test_a_sample_covers_all_sizes() -> None:
    students = [s for space in PRESETS["bert-base-uncased"] for s in space.students()]
    random.Random(0).shuffle(students)
    sample = stratified_sample(students + students, 48)
    ranked = sorted(students, key=exact_macs)
    assert len(set(sample)) == 48
    assert exact_macs(sample[0]) == exact_macs(ranked[0])
    assert exact_macs(sample[-1]) == exact_macs(ranked[-1])
    places = [ranked.index(student) * 48 // len(ranked) for student in sample]
    assert all(abs(place - share) <= 2 for share, place in enumerate(places))
    assert stratified_sample(students, 48) == sample
    assert stratified_sample(students, 48, seed=1) != sample
    few = list(partition(BERT_BASE)[0].students())
    assert set(stratified_sample(few, 1000)) == set(few)


def test_conditions_are_found_by_what_a_limit_says() -> None:
    known = (
        ONE,
        ONE.model_copy(update={"threads": 4}),
        ONE.model_copy(update={"batch_size": 8, "runtime": "onnxruntime"}),
    )
    profile = made_up_profile(conditions=known)

    def found(**asked: Any) -> Conditions:
        limit = LatencyLimit(ms=1, device="xeon", sequence_length=16, **asked)
        return profile.under(limit).conditions

    assert found(threads=1) == known[0]
    assert found() == found(threads=4) == known[1]
    assert found(batch_size=8, runtime="onnxruntime") == known[2]
    for asked in ({"threads": 2}, {"batch_size": 8}, {"batch_size": 2}, {"dtype": "bfloat16"}):
        with pytest.raises(UnprofiledConditions, match="it has: batch 1 x 16 tokens") as caught:
            found(**asked)
        assert caught.value.members["device"] == "xeon"
        assert [Conditions(**c) for c in caught.value.members["conditions"]] == list(known)
        assert caught.value.status == 422


def test_predictions_are_of_the_device_and_percentile_that_the_limit_names() -> None:
    profiles = {"xeon": made_up_profile(), "phone": made_up_profile("phone", factor=3.0)}
    students = TINY[:3]

    def milliseconds(**asked: Any) -> list[float]:
        limit = LatencyLimit(ms=1, sequence_length=16, **asked)
        return [found.ms for found in predict_latency(students, limit, profiles)]

    xeon, slow = milliseconds(device="xeon", percentile=50), milliseconds(device="xeon")
    phone = milliseconds(device="phone", percentile=50)
    for student, a, b, c in zip(students, xeon, slow, phone, strict=True):
        assert a == pytest.approx(1.05 * (student.layers + exact_macs(student) / 1e6), rel=0.05)
        assert b == pytest.approx(a * 1.2 / 1.05, rel=1e-3)
        assert c == pytest.approx(3 * a, rel=1e-3)
    with pytest.raises(UnknownDevice, match="'pixel'; devices with a latency profile: xeon, phone"):
        milliseconds(device="pixel")
    with pytest.raises(UnknownDevice, match="names no device"):
        milliseconds()


def test_predictions_for_students_unlike_all_that_were_measured_say_so() -> None:
    (known,) = made_up_profile().profiled
    assert not any(found.extrapolated for found in known.predict(TINY))
    largest = max(TINY, key=exact_macs)
    between = largest.model_copy(update={"intermediate": largest.intermediate - 1})
    unlike = [
        largest.model_copy(update={"intermediate": 2 * largest.intermediate}),
        largest.model_copy(update={"layers": 1, "intermediate": 8}),
        min(TINY, key=exact_macs).model_copy(update={"hidden": 8}),
        *list(partition(BERT_BASE)[2].students())[:3],
    ]
    found = known.predict([between, *unlike], 90)
    assert [one.extrapolated for one in found] == [False, *(True for _ in unlike)]
    assert [one.ms for one in found] == known.predictor.predict([between, *unlike], 90)


def test_one_set_of_conditions_can_be_slowed() -> None:
    other = ONE.model_copy(update={"threads": 4})
    profile = made_up_profile(conditions=(ONE, other))
    slowed = profile.slowed(other, 2.0)
    assert slowed.profiled[0] == profile.profiled[0]
    before, after = (p.profiled[1].predictor.predict(TINY) for p in (profile, slowed))
    assert after == pytest.approx([2 * ms for ms in before], abs=1e-3)


def damage(change: Callable[[dict[str, Any]], object]) -> Callable[[str], str]:
    def apply(text: str) -> str:
        content = json.loads(text)
        change(content)
        return json.dumps(content)

    return apply


DAMAGES: dict[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "cut off": lambda text: text[: len(text) // 2],
    "no object": lambda text: "[]",
    "deeply nested": lambda text: "[" * 100_000,
    "another format": damage(lambda p: p.update(format="autodistil-device-9")),
    "a name with a slash": damage(lambda p: p.update(name="../etc")),
    "no conditions": damage(lambda p: p.update(profiled=[])),
    "conditions twice": damage(lambda p: p.update(profiled=p["profiled"] * 2)),
    "a field too many": damage(lambda p: p.update(more=1)),
    "negative ms": damage(lambda p: p["profiled"][0]["samples"][0]["latency"].update(p10_ms=-1)),
    "endless ms": damage(lambda p: p["profiled"][0]["samples"][0]["latency"].update(p90_ms=1e99)),
    "a negative price": damage(lambda p: p["profiled"][0]["predictor"]["prices"].update(layers=-1)),
    "an unknown price": damage(lambda p: p["profiled"][0]["predictor"]["prices"].update(x=1)),
    "an unknown dtype": damage(lambda p: p["profiled"][0]["conditions"].update(dtype="float8")),
    "no threads": damage(lambda p: p["profiled"][0]["conditions"].pop("threads")),
    "few samples": damage(lambda p: p["profiled"][0].update(samples=[])),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_profile_is_refused_with_what_is_wrong(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(DAMAGES[name](made_up_profile().model_dump_json()))
    with pytest.raises(InvalidInput, match=r"x\.json is no device profile: "):
        read_profile(path)


def test_a_file_that_is_not_there_or_cannot_be_written_is_said_to_be(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(InvalidInput, match="cannot be read"):
            read_profile(path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="cannot be written"):
        write_profile(made_up_profile(), tmp_path / "file" / "x.json")


@pytest.mark.parametrize(
    "wrong",
    [
        {"conditions": []},
        {"conditions": [{"dtype": "int4"}]},
        {"conditions": [{"runtime": "onnxruntime", "dtype": "bfloat16"}]},
        {"conditions": [{"batch_size": 0}]},
        {"conditions": [{"threads": 0}]},
        {"students": 4},
        {"students": 10**9},
        {"effort": {"rounds": 0}},
        {"more": 1},
    ],
)
def test_a_profiling_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ProfilingRequest.model_validate(wrong)


def test_conditions_without_threads_take_those_of_the_worker() -> None:
    assert AskedConditions(batch_size=2).with_threads(3) == Conditions(batch_size=2, threads=3)
    assert AskedConditions(threads=1).with_threads(3) == Conditions(threads=1)
