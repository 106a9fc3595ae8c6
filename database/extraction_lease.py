"""The lease on an extraction: how whoever holds it changes the row, and ends it."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from database import events, webhooks
from database.errors import Canceled, LeaseLost
from database.leases import Leases, ending
from database.tables import WORKING, ExtractionRow, State

LEASES = Leases(
    ExtractionRow,
    ExtractionRow.id,
    ExtractionRow.id,
    "extraction",
    State.QUEUED,
    (*WORKING, State.CANCELING),
)


def change(
    session: Session,
    extraction_id: str,
    owner: str,
    states: Sequence[State] | None = None,
    **values: Any,
) -> None:
    """Change an extraction that is held; see `database.leases.Leases.change`.

    Raises:
        LeaseLost: Another holds the extraction, or it ended.
        Canceled: The user asked it to stop.
    """
    try:
        LEASES.change(session, extraction_id, owner, states, **values)
    except LeaseLost:
        row = session.get(ExtractionRow, extraction_id, populate_existing=True)
        if row is not None and (row.state, row.lease_owner) == (State.CANCELING, owner):
            raise Canceled("Canceled on request.") from None
        raise


def end(
    session: Session,
    extraction_id: str,
    owner: str,
    state: State,
    states: Sequence[State] | None = None,
    **values: Any,
) -> str | None:
    """End an extraction that is held, with its event and the call of its webhook.

    Returns:
        The fingerprint of those that follow, if the extraction led.

    Raises:
        LeaseLost: Another holds the extraction, or it ended.
        Canceled: The user asked it to stop.
    """
    led = lock(session, extraction_id)
    values |= {"state": state, "leader_key": None, **ending()}
    change(session, extraction_id, owner, states, **values)
    detail = values.get("problem") or {}
    problem = {"problem": detail["type"]} if detail else {}
    events.record(session, extraction_id, state, **problem)
    webhooks.enqueue(session, extraction_id)
    return led


def lock(session: Session, extraction_id: str) -> str | None:
    """Keep others from changing a row until the transaction ends; returns its leader key."""
    query = select(ExtractionRow.leader_key).where(ExtractionRow.id == extraction_id)
    return session.scalar(query.with_for_update())
