"""Workers: their signs of life, and what they are busy with."""

import datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from database.tables import WORKING, ExtractionRow, State, WorkerRow, utc_now


def see(session: Session, name: str, device: str | None, facts: dict[str, Any]) -> None:
    """Note that a worker lives."""
    row = session.get(WorkerRow, name)
    if row is None:
        session.add(WorkerRow(name=name, device=device, facts=facts))
    else:
        row.device, row.facts, row.seen_at = device, facts, utc_now()


def forget(session: Session, name: str) -> None:
    """Note that a worker has ended."""
    session.execute(delete(WorkerRow).where(WorkerRow.name == name))


def forget_lost(session: Session, unseen: datetime.timedelta) -> None:
    """Forget workers that gave no sign of life for so long."""
    session.execute(delete(WorkerRow).where(WorkerRow.seen_at < utc_now() - unseen))


def list_all(session: Session) -> list[WorkerRow]:
    """All workers that did not end in order, by name."""
    return list(session.scalars(select(WorkerRow).order_by(WorkerRow.name)))


def owned(session: Session) -> dict[str, list[str]]:
    """Ids of the extractions that each owner of a lease works on."""
    query = (
        select(ExtractionRow.lease_owner, ExtractionRow.id)
        .where(ExtractionRow.state.in_([*WORKING, State.CANCELING]))
        .where(ExtractionRow.lease_owner.is_not(None))
        .order_by(ExtractionRow.id)
    )
    found: dict[str, list[str]] = {}
    for owner, extraction_id in session.execute(query):
        found.setdefault(owner or "", []).append(extraction_id)
    return found
