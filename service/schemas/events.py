"""Events of extractions."""

import datetime
from collections.abc import Iterable, Iterator
from typing import Self

from pydantic import BaseModel, ConfigDict

from database.tables import EventRow, State
from service.schemas.extractions import PERCENT


class Event(BaseModel):
    """Something that happened to an extraction.

    `kind` is the state that it came to, or `missed` if a student was measured and did not keep the
    latency limit. Some kinds have further members: `attempt`, `problem`, `shared_with`, `reason`.
    """

    model_config = ConfigDict(extra="allow")

    id: int
    kind: str
    at: datetime.datetime
    state: State
    percent: int

    @classmethod
    def sequence(cls, rows: Iterable[EventRow]) -> Iterator[Self]:
        """From all rows of an extraction, the oldest first."""
        state = State.QUEUED
        for row in rows:
            if row.kind in PERCENT:
                state = State(row.kind)
            fixed = {"id": row.id, "kind": row.kind, "at": row.created_at, "state": state}
            yield cls.model_validate({**row.data, **fixed, "percent": PERCENT[state]})


class EventList(BaseModel):
    """The events of an extraction, the oldest first."""

    items: list[Event]
    next_cursor: None = None
