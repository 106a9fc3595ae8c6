"""A budget: limits on the cost of a student, all of which must hold."""

import re
from fractions import Fraction
from typing import Annotated, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    model_validator,
)

from autodistil.errors import InvalidInput, explain
from autodistil.latency.conditions import LatencyLimit
from autodistil.spaces.cost import Cost

AXES = ("macs", "flops", "params", "size_bytes")
"""What can be limited and computed exactly; each is a field of `Cost`."""

LATENCY = "latency"
"""What can be limited and is predicted, in ms; the field of `Budget` that holds the limit."""

_AMOUNT = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([KMG%]?)")
_FACTORS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
_LARGEST = 10**18


def parse_amount(value: object) -> int | str:
    """Read an amount: a plain number, one with K, M, or G, or a share of the teacher (`40%`).

    Returns:
        A positive integer, or a share as it was given.

    Raises:
        ValueError: It is none of these, or not positive.
    """
    message = "must be a positive number, with K, M, or G if you like, or a share such as '40%'"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(message)
    number: int | float | Fraction
    if isinstance(value, str):
        match = _AMOUNT.fullmatch(value.strip())
        if not match or float(match[1]) == 0:
            raise ValueError(message)
        if match[2] == "%":
            return f"{match[1]}%"
        number = Fraction(match[1]) * _FACTORS[match[2]]
    else:
        number = value
    if not 1 <= number <= _LARGEST:  # also refuses NaN and infinities
        raise ValueError(message)
    return int(number)


Amount = Annotated[int | str, BeforeValidator(parse_amount)]


class Budget(BaseModel):
    """Limits on a student's exact cost; at least one must be given.

    Attributes:
        macs: Multiply-accumulates of the encoder for 128 tokens.
        flops: 2 x MACs.
        params: Parameters, embeddings and pooler included.
        size_bytes: Size of the fp32 `model.safetensors`.
        latency: Latency on a profiled device.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    macs: Amount | None = None
    flops: Amount | None = None
    params: Amount | None = None
    size_bytes: Amount | None = None
    latency: LatencyLimit | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            raise ValueError(f"name at least one limit: {', '.join(AXES)} or latency")
        return self

    def limits(self, teacher: Cost) -> dict[str, int | float]:
        """The limits in absolute numbers, shares taken of the teacher's cost; latency in ms."""
        given = {axis: getattr(self, axis) for axis in AXES}
        limits: dict[str, int | float] = {
            axis: _resolve(amount, getattr(teacher, axis))
            for axis, amount in given.items()
            if amount is not None
        }
        if self.latency is not None:
            limits[LATENCY] = self.latency.ms
        return limits


def _resolve(amount: int | str, whole: int) -> int:
    if isinstance(amount, int):
        return amount
    return int(Fraction(amount.removesuffix("%")) * whole / 100)


def read_budget(**amounts: object) -> Budget:
    """A budget from loose values, as the command line has them.

    Raises:
        InvalidInput: Names the value at fault.
    """
    try:
        return Budget.model_validate(amounts)
    except ValidationError as error:
        raise InvalidInput(f"The budget: {explain(error)}.") from error
