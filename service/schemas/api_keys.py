"""API keys."""

import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from database.tables import ApiKeyRow
from service.schemas.base import PlainNumbers, StrictRequest

Limit = Annotated[
    int | None,
    Field(ge=0, le=1_000_000, description="0: no limit. Null: what the settings say."),
    PlainNumbers,
]


class ApiKeyRequest(StrictRequest):
    """A key to make."""

    label: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+$")]
    scopes: Annotated[list[Literal["extract", "admin"]], Field(min_length=1, max_length=2)]
    requests_per_minute: Limit = None
    extractions_per_day: Limit = None


class ApiKey(BaseModel):
    """A key without its secret."""

    id: str
    prefix: str
    label: str
    scopes: list[str]
    requests_per_minute: int | None
    extractions_per_day: int | None
    created_at: datetime.datetime
    revoked_at: datetime.datetime | None

    @classmethod
    def fields_of(cls, row: ApiKeyRow) -> dict[str, Any]:
        """The fields, from the row."""
        return {name: getattr(row, name) for name in ApiKey.model_fields}


class NewApiKey(ApiKey):
    """A key just made, with the secret that is shown this once."""

    key: str


class ApiKeyList(BaseModel):
    """A page of keys, the newest first."""

    items: list[ApiKey]
    next_cursor: str | None
