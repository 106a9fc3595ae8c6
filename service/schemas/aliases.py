"""Aliases of SuperLMs."""

from typing import Annotated

from pydantic import BaseModel, Field

from service.schemas.base import PlainNumbers, StrictRequest

ALIAS_PATTERN = r"^[a-z][a-z0-9-]{0,63}$"


class AliasRequest(StrictRequest):
    """Where an alias points to."""

    version: Annotated[int, Field(ge=1, le=1_000_000), PlainNumbers]


class Alias(BaseModel):
    """An alias."""

    name: str
    alias: str
    version: int
    superlm: Annotated[str, Field(description="What it stands for: `name@version`.")]
