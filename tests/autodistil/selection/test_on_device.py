"""A student is handed over only if it kept the limit when it was measured."""

from collections.abc import Callable
from pathlib import Path

import pytest

from autodistil.errors import InfeasibleBudget, LatencyMissed, UnknownDevice, UnprofiledConditions
from autodistil.extraction.receipt import Miss, Receipt
from autodistil.latency.conditions import Conditions, LatencyLimit, Percentile
from autodistil.latency.device_profile import DeviceProfile
from autodistil.latency.measurement import Latency
from autodistil.models.model_folder import read_config
from autodistil.search.budget import Budget
from autodistil.search.choice import Choice, search
from autodistil.search.entry import Entry
from autodistil.search.latency_limit import predict_latency
from autodistil.selection.on_device import TRIES, extract_best, measure_folder
from autodistil.spaces.cost import exact_macs
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.entries import entries_of
from tests.autodistil.latency.test_device_profile import ONE, made_up_profile

SuperLMs = dict[str, SuperLM]
Measure = Callable[[Path, Conditions], Latency]


@pytest.fixture
def superlms(stock_superlm: SuperLM, free_superlm: SuperLM) -> SuperLMs:
    return {s.spec.reference: s for s in (stock_superlm, free_superlm)}


@pytest.fixture
def profiles() -> dict[str, DeviceProfile]:
    return {"xeon": made_up_profile()}


def limit(ms: float, percentile: Percentile = 90) -> LatencyLimit:
    return LatencyLimit(ms=ms, device="xeon", percentile=percentile, sequence_length=16)


def predictions(superlms: SuperLMs, profiles: dict[str, DeviceProfile]) -> dict[Entry, float]:
    entries = entries_of(superlms.values())
    predicted = predict_latency([e.candidate for e in entries], limit(1), profiles)
    return {entry: found.ms for entry, found in zip(entries, predicted, strict=True)}


def true_device(
    profiles: dict[str, DeviceProfile], superlms: SuperLMs, factor: float
) -> tuple[Measure, list[str]]:
    """A device that is `factor` times as slow as its profile, and the students it measured."""
    measured: list[str] = []
    by_sizes = {
        (e.candidate.layers, e.candidate.hidden, e.candidate.intermediate, e.candidate.heads): ms
        for e, ms in predictions(superlms, profiles).items()
    }

    def measure(folder: Path, conditions: Conditions) -> Latency:
        assert conditions == ONE
        config = read_config(folder)
        names = ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads")
        sizes = tuple(config[name] for name in names)
        measured.append(str(sizes))
        ms = by_sizes[sizes] * factor
        return Latency(p10_ms=ms / 2, p50_ms=ms / 1.5, p90_ms=ms, runs=100)

    return measure, measured


def test_a_student_that_keeps_the_limit_is_handed_over_with_what_was_measured(
    superlms: SuperLMs, profiles: dict[str, DeviceProfile], tmp_path: Path
) -> None:
    middle = sorted(predictions(superlms, profiles).values())[8]
    budget = Budget(latency=limit(middle), params="90%")
    measure, measured = true_device(profiles, superlms, 1.0)
    choices: list[Choice] = []
    receipt = extract_best(
        superlms, budget, tmp_path / "s", profiles, measure, on_choice=choices.append
    )
    expected = search(entries_of(superlms.values()), budget, profiles)
    assert choices == [expected]
    assert receipt.architecture == expected.best.candidate.architecture
    assert receipt.limits["latency"] == middle
    assert len(measured) == 1
    latency = receipt.latency
    assert latency is not None
    assert latency.measured is not None
    assert latency.predicted_ms == expected.best.latency_ms
    assert latency.measured.p90_ms == pytest.approx(latency.predicted_ms)
    assert latency.measured.p90_ms <= middle
    assert (latency.device, latency.conditions, latency.percentile) == ("xeon", ONE, 90)
    assert latency.machine is not None
    assert latency.missed == ()
    assert not latency.extrapolated
    assert Receipt.model_validate_json(receipt.model_dump_json()) == receipt


@pytest.mark.parametrize("factor", [1.02, 1.1, 1.3, 1.6])
def test_on_a_slower_device_the_next_in_the_searchs_order_that_keeps_the_limit_is_found(
    factor: float, superlms: SuperLMs, profiles: dict[str, DeviceProfile], tmp_path: Path
) -> None:
    predicted = predictions(superlms, profiles)
    limits = sorted(set(predicted.values()))
    for ms in (limits[len(limits) // 2] * 1.2, limits[-1] * 1.001):
        measure, measured = true_device(profiles, superlms, factor)
        budget = Budget(latency=limit(ms))
        missed: list[Miss] = []
        receipt = extract_best(
            superlms, budget, tmp_path / str(ms), profiles, measure, on_miss=missed.append
        )
        slower = {"xeon": profiles["xeon"].slowed(ONE, factor)}
        truth = search(entries_of(superlms.values()), budget, slower).best
        assert receipt.latency is not None
        assert receipt.latency.measured is not None
        assert receipt.latency.measured.p90_ms <= ms
        assert receipt.latency.missed == tuple(missed)
        assert len(measured) == len(missed) + 1 <= 2
        # One measurement tells how slow the device is: then the choice is the true one.
        assert receipt.architecture == truth.candidate.architecture
        for miss in missed:
            assert miss.measured.p90_ms == pytest.approx(factor * miss.predicted_ms, rel=1e-3)
        assert {path.name for path in (tmp_path / str(ms)).iterdir()} >= {"config.json"}


def test_students_are_tried_a_bounded_number_of_times_none_twice(
    superlms: SuperLMs, profiles: dict[str, DeviceProfile], tmp_path: Path
) -> None:
    tried: list[tuple[str, str]] = []
    most = max(predictions(superlms, profiles).values())

    def always_a_little_late(folder: Path, conditions: Conditions) -> Latency:
        return Latency(p10_ms=1, p50_ms=1, p90_ms=most * 1.0001, runs=10)

    with pytest.raises(LatencyMissed, match=f"{TRIES} measured in turn, all slower: ") as caught:
        extract_best(
            superlms,
            Budget(latency=limit(most)),
            tmp_path / "s",
            profiles,
            always_a_little_late,
            on_miss=lambda miss: tried.append((miss.superlm, miss.architecture.name)),
        )
    assert len(tried) == len(set(tried)) == TRIES
    assert len(caught.value.members["missed"]) == TRIES
    assert caught.value.problem()["type"] == "latency-missed"
    assert caught.value.status == 422
    assert not (tmp_path / "s").exists()


def test_a_device_on_which_nothing_keeps_the_limit_any_more_ends_the_search(
    superlms: SuperLMs, profiles: dict[str, DeviceProfile], tmp_path: Path
) -> None:
    measure, measured = true_device(profiles, superlms, 100.0)
    with pytest.raises(LatencyMissed, match="1 measured in turn, all slower: ") as caught:
        extract_best(superlms, Budget(latency=limit(5.0)), tmp_path / "s", profiles, measure)
    assert len(measured) == 1
    assert caught.value.members["least_measured"] > 5.0


def test_the_percentile_asked_for_decides(
    superlms: SuperLMs, profiles: dict[str, DeviceProfile], tmp_path: Path
) -> None:
    late_tail = Latency(p10_ms=1, p50_ms=4.9, p90_ms=50, runs=10)
    budget = Budget(latency=limit(5.0, percentile=50))
    receipt = extract_best(superlms, budget, tmp_path / "a", profiles, lambda *_: late_tail)
    assert receipt.latency is not None
    assert receipt.latency.missed == ()
    with pytest.raises(LatencyMissed):
        extract_best(
            superlms, Budget(latency=limit(5.0)), tmp_path / "b", profiles, lambda *_: late_tail
        )


def test_where_the_device_is_not_at_hand_the_prediction_stands_alone(
    superlms: SuperLMs, profiles: dict[str, DeviceProfile], tmp_path: Path
) -> None:
    receipt = extract_best(superlms, Budget(latency=limit(5.0)), tmp_path / "s", profiles, None)
    assert receipt.latency is not None
    assert (receipt.latency.measured, receipt.latency.machine) == (None, None)
    assert receipt.latency.predicted_ms <= 5.0


def test_without_a_latency_limit_nothing_is_measured(
    superlms: SuperLMs, profiles: dict[str, DeviceProfile], tmp_path: Path
) -> None:
    def measure(folder: Path, conditions: Conditions) -> Latency:
        raise AssertionError

    receipt = extract_best(superlms, Budget(params="90%"), tmp_path / "s", profiles, measure)
    assert receipt.latency is None
    assert receipt.limits.keys() == {"params"}


def test_what_no_profile_knows_is_refused_before_anything_is_extracted(
    superlms: SuperLMs, profiles: dict[str, DeviceProfile], tmp_path: Path
) -> None:
    for budget, error in (
        (Budget(latency=limit(1e-4)), InfeasibleBudget),
        (Budget(latency=LatencyLimit(ms=5, device="xeon")), UnprofiledConditions),
        (Budget(latency=LatencyLimit(ms=5, device="phone")), UnknownDevice),
        (Budget(latency=LatencyLimit(ms=5)), UnknownDevice),
    ):
        with pytest.raises(error):
            extract_best(superlms, budget, tmp_path / "s", profiles)
        assert not (tmp_path / "s").exists()


def test_an_exported_student_is_really_measured(
    stock_superlm: SuperLM, profiles: dict[str, DeviceProfile], tmp_path: Path
) -> None:
    superlms = {stock_superlm.spec.reference: stock_superlm}
    generous = Budget(latency=limit(1e6))
    receipt = extract_best(superlms, generous, tmp_path / "s", profiles, measure_folder)
    assert receipt.latency is not None
    measured = receipt.latency.measured
    assert measured is not None
    assert 0 < measured.p10_ms <= measured.p50_ms <= measured.p90_ms < 1e6
    assert measured.runs == 100
    assert exact_macs(receipt.architecture, 16) > 0
