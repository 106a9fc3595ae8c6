"""Common to all requests."""

from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


class StrictRequest(BaseModel):
    """A request body without unknown members."""

    model_config = ConfigDict(extra="forbid")


def refuse_disguised_numbers(value: Any) -> Any:
    """Refuse `true` and `"1"`, at any depth of a JSON value; pydantic would take them for 1.

    Raises:
        ValueError: There is one.
    """
    if isinstance(value, dict):
        for name, item in value.items():
            if name != "device":  # which may be called 1
                refuse_disguised_numbers(item)
    elif isinstance(value, list):
        for item in value:
            refuse_disguised_numbers(item)
    elif isinstance(value, bool) or (isinstance(value, str) and _is_number(value)):
        raise ValueError(f"a number must be written as one, not as {value!r}")
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


PlainNumbers = BeforeValidator(refuse_disguised_numbers)
"""Beside a model of the method that takes numbers: in a body they must be JSON numbers."""
