"""Extractions: every change of state, each with its event in the same transaction.

A worker holds an extraction by a lease with an end. Whoever changes the row names the owner it
believes in; a change that matches no row means that the lease was lost.
"""

import datetime
from collections.abc import Sequence
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from autodistil.errors import AutoDistilError
from database.errors import AttemptsExhausted, Canceled, Conflict, LeaseLost, NotFound
from database.tables import WORKING, ArtifactRow, EventRow, ExtractionRow, State, utc_now


def create(session: Session, request: dict[str, Any], api_key_id: str | None) -> ExtractionRow:
    """Add a queued extraction."""
    row = ExtractionRow(request=request, api_key_id=api_key_id, state=State.QUEUED)
    session.add(row)
    session.flush()
    _record(session, row.id, State.QUEUED)
    return row


def get(session: Session, extraction_id: str) -> ExtractionRow:
    """An extraction.

    Raises:
        NotFound: There is no such extraction.
    """
    row = session.get(ExtractionRow, extraction_id, populate_existing=True)
    if row is None:
        raise NotFound(f"There is no extraction {extraction_id}.")
    return row


def device_of(session: Session, extraction_id: str) -> str | None:
    """Name of the device that the latency limit names, on which the work must be done.

    Raises:
        NotFound: There is no such extraction.
    """
    latency = get(session, extraction_id).request["budget"].get("latency") or {}
    device: str | None = latency.get("device")
    return device


def list_page(
    session: Session, limit: int, before: str | None = None, state: State | None = None
) -> list[ExtractionRow]:
    """Extractions from the newest on; `before` is the id that the last page ended with."""
    query = select(ExtractionRow).order_by(ExtractionRow.id.desc()).limit(limit)
    if before is not None:
        query = query.where(ExtractionRow.id < before)
    if state is not None:
        query = query.where(ExtractionRow.state == state)
    return list(session.scalars(query))


def mark_sent(session: Session, extraction_id: str) -> None:
    """Note that a message about the extraction went to the broker."""
    session.execute(
        update(ExtractionRow).where(ExtractionRow.id == extraction_id).values(sent_at=utc_now())
    )


def unsent(session: Session, resend_after: datetime.timedelta) -> list[str]:
    """Queued extractions that no message is known to be under way for, the oldest first."""
    sent_at = ExtractionRow.sent_at
    query = (
        select(ExtractionRow.id)
        .where(ExtractionRow.state == State.QUEUED)
        .where(or_(sent_at.is_(None), sent_at < utc_now() - resend_after))
        .order_by(ExtractionRow.id)
        .limit(100)
    )
    return list(session.scalars(query))


def claim(
    session: Session, extraction_id: str, owner: str, lease: datetime.timedelta
) -> ExtractionRow | None:
    """Take a queued extraction, or return None if it is taken or ended."""
    now = utc_now()
    changed = session.execute(
        update(ExtractionRow)
        .where(ExtractionRow.id == extraction_id, ExtractionRow.state == State.QUEUED)
        .values(
            state=State.SEARCHING,
            lease_owner=owner,
            lease_expires_at=now + lease,
            attempts=ExtractionRow.attempts + 1,
            started_at=now,
        )
    )
    if not changed.rowcount:  # type: ignore[attr-defined]  # an UPDATE's result has it
        return None
    row = get(session, extraction_id)
    _record(session, extraction_id, State.SEARCHING, attempt=row.attempts)
    return row


def renew(session: Session, extraction_id: str, owner: str, lease: datetime.timedelta) -> None:
    """Prolong a lease.

    Raises:
        LeaseLost: Another holds the extraction, or it ended.
    """
    _change(session, extraction_id, owner, lease_expires_at=utc_now() + lease)


def check(session: Session, extraction_id: str, owner: str) -> None:
    """Ask whether the work should go on.

    Raises:
        LeaseLost: Another holds the extraction, or it ended.
        Canceled: The user asked it to stop.
    """
    _change(session, extraction_id, owner, WORKING, lease_owner=owner)


def advance(session: Session, extraction_id: str, owner: str, state: State) -> None:
    """Go on to the next state of work.

    Raises:
        LeaseLost: Another holds the extraction, or it ended.
        Canceled: The user asked it to stop.
    """
    _change(session, extraction_id, owner, WORKING, state=state)
    _record(session, extraction_id, state)


def choose(
    session: Session, extraction_id: str, owner: str, superlm_id: str, choice: dict[str, Any]
) -> None:
    """Keep what the search chose."""
    _change(session, extraction_id, owner, superlm_id=superlm_id, choice=choice)


def note_miss(session: Session, extraction_id: str, miss: dict[str, Any]) -> None:
    """Record that a student was measured and missed the latency limit."""
    session.add(EventRow(extraction_id=extraction_id, kind="missed", data=miss))


def succeed(
    session: Session,
    extraction_id: str,
    owner: str,
    receipt: dict[str, Any],
    artifacts: list[ArtifactRow],
) -> None:
    """End an extraction with its receipt and artifacts, all or nothing.

    Raises:
        LeaseLost: Another holds the extraction, or it ended.
        Canceled: The user asked it to stop.
    """
    _end(session, extraction_id, owner, State.SUCCEEDED, WORKING, receipt=receipt)
    session.add_all(artifacts)


def fail(session: Session, extraction_id: str, owner: str, error: AutoDistilError) -> None:
    """End an extraction with a problem."""
    _end(session, extraction_id, owner, State.FAILED, problem=error.problem())


def finish_cancel(session: Session, extraction_id: str, owner: str) -> None:
    """End an extraction that its worker has stopped working on."""
    _end(session, extraction_id, owner, State.CANCELED)


def request_cancel(session: Session, extraction_id: str) -> ExtractionRow:
    """Ask an extraction to stop: a queued one ends at once, a working one at its next step.

    Raises:
        NotFound: There is no such extraction.
        Conflict: It has ended.
    """
    now = utc_now()
    steps: tuple[tuple[State, Sequence[State], dict[str, Any]], ...] = (
        (State.CANCELED, [State.QUEUED], {"finished_at": now}),
        (State.CANCELING, WORKING, {}),
    )
    # A job may go from queued to working and back while it is looked at.
    while (row := get(session, extraction_id)).state in (State.QUEUED, *WORKING):
        for target, states, values in steps:
            changed = session.execute(
                update(ExtractionRow)
                .where(ExtractionRow.id == extraction_id, ExtractionRow.state.in_(states))
                .values(state=target, **values)
            )
            if changed.rowcount:  # type: ignore[attr-defined]
                _record(session, extraction_id, target)
                break
    if row.state not in (State.CANCELED, State.CANCELING):
        raise Conflict(f"Extraction {extraction_id} has ended: {row.state}.", state=row.state)
    return row


def recover(session: Session, max_attempts: int, dead_owner: str | None = None) -> list[str]:
    """Take extractions away from workers that are gone: whose lease ran out, or `dead_owner`.

    They are queued again; those tried too often fail, those being canceled end.

    Returns:
        Ids of the extractions that are queued again.
    """
    gone = ExtractionRow.lease_expires_at < utc_now()
    if dead_owner is not None:
        gone = ExtractionRow.lease_owner == dead_owner
    query = select(ExtractionRow).where(ExtractionRow.state.in_([*WORKING, State.CANCELING]), gone)
    queued = []
    for row in session.scalars(query.with_for_update(skip_locked=True)):
        owner = row.lease_owner or ""
        if row.state == State.CANCELING:
            finish_cancel(session, row.id, owner)
        elif row.attempts >= max_attempts:
            problem = AttemptsExhausted(
                f"A worker died {row.attempts} times on this extraction, perhaps out of memory. "
                "Ask for a smaller student, or see the workers' logs."
            )
            fail(session, row.id, owner, problem)
        else:
            _change(session, row.id, owner, state=State.QUEUED, lease_owner=None, sent_at=None)
            _record(session, row.id, State.QUEUED, reason="the worker was lost")
            queued.append(row.id)
    return queued


_HELD = (*WORKING, State.CANCELING)


def _end(
    session: Session,
    extraction_id: str,
    owner: str,
    state: State,
    states: Sequence[State] = _HELD,
    **values: Any,
) -> None:
    _change(
        session,
        extraction_id,
        owner,
        states,
        state=state,
        lease_owner=None,
        lease_expires_at=None,
        finished_at=utc_now(),
        **values,
    )
    detail = values.get("problem") or {}
    _record(session, extraction_id, state, **({"problem": detail["type"]} if detail else {}))


def _change(
    session: Session,
    extraction_id: str,
    owner: str,
    states: Sequence[State] = _HELD,
    **values: Any,
) -> None:
    # The states are checked by the UPDATE itself: one read before it could be out of date.
    changed = session.execute(
        update(ExtractionRow)
        .where(ExtractionRow.id == extraction_id, ExtractionRow.lease_owner == owner)
        .where(ExtractionRow.state.in_(states))
        .values(**values)
    )
    if not changed.rowcount:  # type: ignore[attr-defined]
        row = get(session, extraction_id)
        if (row.state, row.lease_owner) == (State.CANCELING, owner):
            raise Canceled("Canceled on request.")
        raise LeaseLost(f"{owner} no longer holds extraction {extraction_id}.")


def _record(session: Session, extraction_id: str, kind: State, **data: Any) -> None:
    session.add(EventRow(extraction_id=extraction_id, kind=kind, data=data))
