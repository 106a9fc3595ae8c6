import random

import pytest
from pydantic import ValidationError

from autodistil.errors import InvalidInput
from autodistil.families.architecture import Architecture
from autodistil.latency.measurement import Latency
from autodistil.latency.predictor import FEWEST, WORK, Predictor, held_out_errors
from autodistil.spaces.partition import BERT_BASE, PRESETS, partition

STUDENTS = [student for space in PRESETS["bert-base-uncased"] for student in space.students()]
STOCK = [student for space in partition(BERT_BASE) for student in space.students()]


def true_ms(student: Architecture) -> float:
    """A machine on which every kind of work has its price."""
    attention = student.heads * student.head_width
    layer = 0.05 + 1e-4 * student.hidden + 0.004 * student.heads + 2e-5 * student.intermediate
    products = 4e-6 * student.hidden * attention + 3e-6 * student.hidden * student.intermediate
    return 0.2 + 3e-4 * student.hidden + student.layers * (layer + products)


def latency_of(ms: float) -> Latency:
    return Latency(p10_ms=ms, p50_ms=ms * 1.1, p90_ms=ms * 1.3, runs=10)


def sample(count: int, seed: int) -> list[Architecture]:
    return random.Random(seed).sample(STUDENTS, count)


def test_students_of_a_machine_with_prices_are_predicted_exactly() -> None:
    measured = sample(40, 0)
    predictor = Predictor.fit(measured, [latency_of(true_ms(s)) for s in measured])
    for student, p50, p90 in zip(
        STUDENTS, predictor.predict(STUDENTS), predictor.predict(STUDENTS, 90), strict=True
    ):
        assert p50 == pytest.approx(1.1 * true_ms(student), rel=1e-3)
        assert p90 == pytest.approx(1.3 * true_ms(student), rel=1e-3)
    # Also far beyond what was measured.
    assert predictor.predict([BERT_BASE])[0] == pytest.approx(1.1 * true_ms(BERT_BASE), rel=1e-2)


def test_noise_is_averaged_out() -> None:
    rng = random.Random(1)
    measured = sample(60, 2)
    noisy = [latency_of(true_ms(student) * rng.uniform(0.95, 1.05)) for student in measured]
    predictor = Predictor.fit(measured, noisy)
    errors = [
        abs(ms / (1.1 * true_ms(s)) - 1)
        for s, ms in zip(STUDENTS, predictor.predict(STUDENTS), strict=True)
    ]
    assert sorted(errors)[len(errors) // 2] < 0.02
    assert max(errors) < 0.08


def test_more_of_everything_is_never_predicted_to_be_faster() -> None:
    rng = random.Random(3)
    measured = sample(20, 4)
    predictor = Predictor.fit(measured, [latency_of(rng.uniform(1, 9)) for _ in measured])
    assert min(predictor.prices.values()) >= 0
    for student in sample(50, 5):
        for size in ("layers", "hidden", "heads", "intermediate"):
            more = student.model_copy(update={size: getattr(student, size) + 8})
            before, after = predictor.predict([student, more])
            assert after >= before


def test_relative_errors_count_alike_for_small_and_large_students() -> None:
    measured = sample(40, 6)
    # A machine that no prices describe: what is left must not fall on the small students alone.
    odd = [latency_of(true_ms(s) * (1.2 if s.hidden % 64 else 0.9)) for s in measured]
    predictor = Predictor.fit(measured, odd)
    ranked = sorted(measured, key=true_ms)
    by_student = dict(zip(measured, odd, strict=True))
    for half in (ranked[:20], ranked[20:]):
        errors = [
            abs(ms / by_student[student].p50_ms - 1)
            for student, ms in zip(half, predictor.predict(half), strict=True)
        ]
        assert sum(errors) / len(errors) < 0.2


def test_held_out_errors_are_of_students_that_were_not_seen() -> None:
    measured = sample(20, 7)
    latencies = [latency_of(true_ms(student)) for student in measured]
    assert max(map(abs, held_out_errors(measured, latencies))) < 0.02
    latencies[4] = latency_of(true_ms(measured[4]) * 5)
    assert held_out_errors(measured, latencies)[4] == pytest.approx(-0.8, abs=0.02)


def test_a_slower_device_is_slower_by_its_factor() -> None:
    measured = STOCK[:20]
    predictor = Predictor.fit(measured, [latency_of(true_ms(s)) for s in measured])
    for ms, slow in zip(
        predictor.predict(STOCK, 90), predictor.slowed(1.7).predict(STOCK, 90), strict=True
    ):
        assert slow == pytest.approx(1.7 * ms, abs=2e-4)


def test_too_few_students_are_refused() -> None:
    few = sample(FEWEST - 1, 8)
    with pytest.raises(InvalidInput, match="at least"):
        Predictor.fit(few, [latency_of(1.0)] * len(few))


GOOD = {"prices": dict.fromkeys(WORK, 1.0), "p50_ratio": 1.0, "p90_ratio": 1.5}


@pytest.mark.parametrize(
    "wrong",
    [
        {"prices": {}},
        {"prices": {**GOOD["prices"], "warp": 1.0}},  # type: ignore[dict-item]
        {"prices": {**GOOD["prices"], "layers": -1.0}},  # type: ignore[dict-item]
        {"prices": {**GOOD["prices"], "layers": float("nan")}},  # type: ignore[dict-item]
        {"prices": dict.fromkeys(WORK, 0.0)},
        {"p50_ratio": 0.5},
        {"p50_ratio": 2.0},
        {"p90_ratio": float("inf")},
        {"more": 1},
    ],
)
def test_prices_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    assert Predictor.model_validate(GOOD)
    with pytest.raises(ValidationError):
        Predictor.model_validate({**GOOD, **wrong})
