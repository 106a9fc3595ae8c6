"""Health."""

from typing import Literal

from pydantic import BaseModel


class Health(BaseModel):
    """Whether the parts of the service answer."""

    status: Literal["ok", "unavailable"]
    checks: dict[str, str]
