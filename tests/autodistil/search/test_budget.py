from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from autodistil.errors import InvalidInput
from autodistil.search.budget import AXES, Budget, parse_amount, read_budget
from autodistil.spaces.cost import cost
from autodistil.spaces.partition import BERT_BASE, BERT_BASE_ENCODER

TEACHER = cost(BERT_BASE, BERT_BASE_ENCODER, teacher_heads=12)


@pytest.mark.parametrize(
    ("given_value", "read"),
    [
        (1, 1),
        (25_000_000, 25_000_000),
        (2.5e9, 2_500_000_000),
        (12.9, 12),
        ("7", 7),
        ("25M", 25_000_000),
        ("2.5G", 2_500_000_000),
        ("700 K", 700_000),
        (" 3K ", 3000),
        ("0.5K", 500),
        ("1.001K", 1001),
        ("2.01G", 2_010_000_000),
        ("40%", "40%"),
        ("12.5 %", "12.5%"),
        ("150%", "150%"),
        (10**18, 10**18),
    ],
)
def test_an_amount_is_read(given_value: object, read: int | str) -> None:
    assert parse_amount(given_value) == read


@pytest.mark.parametrize(
    "value",
    [
        0, -1, -2.5, 0.5, True, False, None, [], {}, b"5",
        float("nan"), float("inf"), float("-inf"), 10**19, 1e300, 10**400,
        "", " ", "K", "%", "-5", "+5", "0", "0%", "0.0%", "0.1", "nan", "inf", "1e9", "5T", "5m",
        "5 M B", "5MM", "5,000", "1.", ".5", "0x10", "9" * 400, "999999999999999G", "5%%", "5\0",
    ],
)  # fmt: skip
def test_what_is_no_amount_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="must be a positive number"):
        parse_amount(value)
    with pytest.raises(ValidationError, match="macs"):
        Budget(macs=value if value is not None else "", params=5)  # type: ignore[arg-type]


def test_null_means_no_limit() -> None:
    assert Budget(macs=None, params=5).limits(TEACHER) == {"params": 5}


@given(st.integers(1, 999), st.integers(0, 10**9 - 1), st.sampled_from("KMG"))
def test_an_amount_with_a_factor_is_exact(whole: int, billionths: int, factor: str) -> None:
    exact = Fraction(whole * 10**9 + billionths, 10**9) * 10 ** {"K": 3, "M": 6, "G": 9}[factor]
    assert parse_amount(f"{whole}.{billionths:09d}{factor}") == int(exact)


@given(st.integers(1, 100), st.integers(1, 10**18))
def test_a_share_of_the_teacher_is_exact_and_rounded_down(percent: int, whole: int) -> None:
    teacher = TEACHER.model_copy(update={"macs": whole})
    assert Budget(macs=f"{percent}%").limits(teacher) == {"macs": percent * whole // 100}


def test_limits_mix_numbers_and_shares() -> None:
    budget = Budget(macs="10%", flops=5, params="25M", size_bytes="100%")
    assert budget.limits(TEACHER) == {
        "macs": TEACHER.macs // 10,
        "flops": 5,
        "params": 25_000_000,
        "size_bytes": TEACHER.size_bytes,
    }
    assert tuple(budget.limits(TEACHER)) == AXES


@pytest.mark.parametrize("amounts", [{}, {"macs": None}])
def test_a_budget_without_a_limit_is_refused(amounts: dict[str, None]) -> None:
    with pytest.raises(InvalidInput, match="name at least one limit"):
        read_budget(**amounts)


def test_the_error_names_the_value_at_fault() -> None:
    with pytest.raises(InvalidInput, match="params: .*must be a positive number") as caught:
        read_budget(macs="5M", params="lots")
    assert caught.value.problem()["status"] == 422
    with pytest.raises(InvalidInput, match="speed: Extra inputs"):
        read_budget(macs=5, speed=3)


@pytest.mark.parametrize(
    "latency",
    [
        {},
        {"ms": 0},
        {"ms": -1},
        {"ms": float("nan")},
        {"ms": float("inf")},
        {"ms": 5, "percentile": 99},
        {"ms": 5, "batch_size": 0},
        {"ms": 5, "sequence_length": 1 << 20},
        {"ms": 5, "runtime": "magic"},
        {"ms": 5, "device": "x" * 101},
    ],
)
def test_a_latency_limit_that_makes_no_sense_is_refused(latency: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="latency"):
        read_budget(latency=latency)


def test_a_budget_survives_json() -> None:
    budget = Budget.model_validate({"macs": "40%", "params": "25M", "latency": {"ms": 5}})
    assert Budget.model_validate_json(budget.model_dump_json()) == budget
