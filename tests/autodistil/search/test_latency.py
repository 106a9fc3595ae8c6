"""A limit on latency among the others: filtered by prediction, refused with its reason."""

import random

import pytest

from autodistil.errors import InfeasibleBudget, InvalidInput, UnknownDevice, UnprofiledConditions
from autodistil.evaluation.candidates import Candidate
from autodistil.evaluation.quality import Score
from autodistil.latency.device_profile import DeviceProfile
from autodistil.search.budget import Budget, LatencyLimit, read_budget
from autodistil.search.choice import search
from autodistil.search.entry import Entry
from autodistil.search.latency_limit import predict_latency
from autodistil.spaces.cost import Cost, cost
from autodistil.spaces.partition import PRESETS
from tests.autodistil.latency.test_device_profile import ENCODER, ONE, made_up_profile
from tests.factories import FREE_SPACE, STOCK_SPACE

PROFILES = {"xeon": made_up_profile(conditions=(ONE, ONE.model_copy(update={"threads": 2})))}
TEACHER = Cost(
    params=10**6,
    macs=10**8,
    flops=2 * 10**8,
    size_bytes=4 * 10**6,
    paper_params=1,
    paper_macs=1,
    sequence_length=128,
)
ENTRIES = [
    Entry(f"{name}@1", Candidate.build(student, space.name, cost(student, ENCODER, 4)), TEACHER)
    for name, space in (("stock", STOCK_SPACE), ("free", FREE_SPACE))
    for student in space.students()
]


def limit(ms: float, **more: object) -> LatencyLimit:
    return LatencyLimit.model_validate({"ms": ms, "device": "xeon", "sequence_length": 16, **more})


def latencies(asked: LatencyLimit, profiles: dict[str, DeviceProfile] = PROFILES) -> list[float]:
    found = predict_latency([entry.candidate for entry in ENTRIES], asked, profiles)
    return [prediction.ms for prediction in found]


def test_the_choice_equals_brute_force_over_predictions() -> None:
    rng = random.Random(0)
    feasible = infeasible = 0
    ms_range = min(latencies(limit(1))) * 0.6, max(latencies(limit(1)))
    for _ in range(300):
        asked = limit(rng.uniform(*ms_range), percentile=rng.choice([50, 90]))
        params = rng.choice([None, rng.randint(5_000, 30_000)])
        budget = Budget(latency=asked, params=params)
        within = [
            entry._replace(latency_ms=ms)
            for entry, ms in zip(ENTRIES, latencies(asked), strict=True)
            if ms <= asked.ms and (params is None or entry.candidate.params <= params)
        ]
        if not within:
            infeasible += 1
            with pytest.raises(InfeasibleBudget):
                search(ENTRIES, budget, PROFILES, Score.PARAMS)
            continue
        feasible += 1
        choice = search(ENTRIES, budget, PROFILES, Score.PARAMS)
        assert choice.best in within
        assert choice.best.candidate.params == max(entry.candidate.params for entry in within)
        assert choice.feasible == len(within)
        assert choice.limits["latency"] == asked.ms
        assert choice.report()["choice"]["latency_ms"] == choice.best.latency_ms
    assert min(feasible, infeasible) > 20


def test_a_student_predicted_exactly_at_the_limit_fits() -> None:
    least = min(latencies(limit(1)))
    choice = search(ENTRIES, Budget(latency=limit(least)), PROFILES, Score.PARAMS)
    assert (choice.feasible, choice.best.latency_ms) == (1, least)


def test_a_refusal_names_latency_and_the_least_possible() -> None:
    least = min(latencies(limit(1)))
    with pytest.raises(InfeasibleBudget, match="latency at most 0.5 ms") as caught:
        search(ENTRIES, Budget(latency=limit(0.5), macs="100%"), PROFILES, Score.PARAMS)
    members = caught.value.members
    assert (members["binding_limit"], members["asked"]) == ("latency", 0.5)
    assert members["least_possible"] == least
    assert members["nearest_student"]["latency_ms"] == least
    again = Budget(latency=limit(members["least_possible"]), macs="100%")
    assert search(ENTRIES, again, PROFILES, Score.PARAMS)


def test_latency_and_another_limit_that_exclude_each_other_are_both_named() -> None:
    fast = ENTRIES[0].candidate
    slow = ENTRIES[-1].candidate.model_copy(update={"params": fast.params // 2})
    entries = [Entry("a@1", candidate, TEACHER) for candidate in (fast, slow)]
    quick, late = (p.ms for p in predict_latency([fast, slow], limit(1), PROFILES))
    budget = Budget(latency=limit((quick + late) / 2), params=fast.params - 1)
    with pytest.raises(InfeasibleBudget) as caught:
        search(entries, budget, PROFILES, Score.PARAMS)
    binding = caught.value.members["binding_limits"]
    found = {item["limit"]: item["least_possible"] for item in binding}
    assert found == {"latency": late, "params": fast.params}


def test_what_is_not_profiled_is_refused_with_what_is() -> None:
    with pytest.raises(UnknownDevice, match="'phone'.*: xeon") as unknown:
        search(ENTRIES, Budget(latency=limit(5, device="phone")), PROFILES)
    assert unknown.value.members == {"devices": ["xeon"]}
    with pytest.raises(UnknownDevice, match="none yet"):
        search(ENTRIES, Budget(latency=limit(5)))
    with pytest.raises(UnprofiledConditions, match="has no latency profile for batch 3"):
        search(ENTRIES, Budget(latency=limit(5, batch_size=3)), PROFILES)


@pytest.mark.parametrize(
    "wrong",
    [
        {"ms": -1},
        {"ms": float("nan")},
        {"ms": "soon"},
        {"dtype": "float8"},
        {"runtime": "onnxruntime", "dtype": "bfloat16"},
        {"device": "a/b"},
        {"device": ""},
        {"percentile": 75},
        {"threads": -1},
        {"unit": "s"},
    ],
    ids=str,
)
def test_a_limit_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="The budget: latency"):
        read_budget(latency={"ms": 5, "device": "xeon", **wrong})


def test_an_answer_by_an_extrapolated_prediction_says_so_and_warns() -> None:
    budget = Budget(latency=limit(1e6))
    known = search(ENTRIES, budget, PROFILES, Score.PARAMS)
    assert known.best.row()["latency_extrapolated"] is False
    assert known.report()["warnings"] == known.warnings == []
    spaces = PRESETS["bert-base-uncased"][:1]
    larger = [
        Entry("larger@1", Candidate.build(student, space.name, cost(student, ENCODER, 12)), TEACHER)
        for space in spaces
        for student in space.students()
    ]
    choice = search([*ENTRIES, *larger], budget, PROFILES, Score.PARAMS)
    assert choice.best.superlm == "larger@1"
    report = choice.report()
    assert report["choice"]["latency_extrapolated"] is True
    (warning,) = report["warnings"]
    assert "larger@1 are extrapolated" in warning
    assert "Profile the device anew" in warning


def test_without_a_limit_on_latency_nothing_is_said_of_it() -> None:
    choice = search(ENTRIES, Budget(macs="100%"), score=Score.PARAMS)
    assert not {"latency_ms", "latency_extrapolated"} & choice.best.row().keys()
    assert choice.warnings == []
