"""Events: what happened to extractions, in order, and how far extractions are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from database.tables import TERMINAL, EventRow, ExtractionRow, State

_IDS_PER_QUERY = 1000


@dataclass(frozen=True)
class Progress:
    """How far an extraction is.

    Attributes:
        state: Its state.
        last_event: Id of its newest event.
    """

    state: State
    last_event: int

    @property
    def ended(self) -> bool:
        """Whether the state is never left."""
        return self.state in TERMINAL


def record(session: Session, extraction_id: str, kind: str, **data: Any) -> None:
    """Add an event; it belongs in the transaction of the change that it tells about."""
    session.add(EventRow(extraction_id=extraction_id, kind=kind, data=data))


def list_of(session: Session, extraction_id: str) -> list[EventRow]:
    """The events of an extraction, the oldest first."""
    query = select(EventRow).where(EventRow.extraction_id == extraction_id)
    return list(session.scalars(query.order_by(EventRow.id)))


def progress_of(session: Session, extraction_ids: Sequence[str]) -> dict[str, Progress]:
    """How far extractions are, by id; one query for a thousand of them."""
    last_event = (
        select(func.max(EventRow.id))
        .where(EventRow.extraction_id == ExtractionRow.id)
        .scalar_subquery()
    )
    found: dict[str, Progress] = {}
    for start in range(0, len(extraction_ids), _IDS_PER_QUERY):
        ids = extraction_ids[start : start + _IDS_PER_QUERY]
        query = select(ExtractionRow.id, ExtractionRow.state, last_event)
        for id_, state, last in session.execute(query.where(ExtractionRow.id.in_(ids))):
            found[id_] = Progress(State(state), last or 0)
    return found
