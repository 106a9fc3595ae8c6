"""The audit trail."""

import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field

from database.audit import Action
from database.tables import AuditRow
from service.schemas.pages import ID_PATTERN, PageQuery


class AuditEntry(BaseModel):
    """Something that an admin did."""

    id: str
    action: Action
    subject: str
    api_key_id: str | None
    detail: dict[str, Any]
    created_at: datetime.datetime

    @classmethod
    def of(cls, row: AuditRow) -> Self:
        """From its row."""
        return cls.model_validate({name: getattr(row, name) for name in cls.model_fields})


class AuditQuery(PageQuery):
    """Which entries are listed: those that meet all that is given."""

    action: Action | None = None
    api_key_id: Annotated[str | None, Field(pattern=ID_PATTERN)] = None


class AuditList(BaseModel):
    """A page of the audit trail, the newest first."""

    items: list[AuditEntry]
    next_cursor: str | None
