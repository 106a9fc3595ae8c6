"""Extractions: every change of state, each with its event in the same transaction.

A worker holds an extraction by a lease with an end. Whoever changes the row names the owner it
believes in; a change that matches no row means that the lease was lost. An extraction that leads
takes those that follow it along, see `database.followers`.
"""

import datetime
from collections.abc import Sequence
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from autodistil.errors import AutoDistilError
from database import events, followers, webhooks
from database.errors import AttemptsExhausted, Canceled, Conflict, LeaseLost, NotFound
from database.tables import WORKING, ArtifactRow, ExtractionRow, State, utc_now


def create(
    session: Session,
    request: dict[str, Any],
    api_key_id: str | None,
    webhook: dict[str, Any] | None = None,
    fingerprint: str | None = None,
) -> ExtractionRow:
    """Add a queued extraction; one with a fingerprint waits for another, see `database.sharing`."""
    row = ExtractionRow(
        request=request, api_key_id=api_key_id, webhook=webhook, fingerprint=fingerprint
    )
    session.add(row)
    session.flush()
    events.record(session, row.id, State.QUEUED)
    return get(session, row.id)


def get(session: Session, extraction_id: str, *, lock: bool = False) -> ExtractionRow:
    """An extraction.

    Args:
        session: A session.
        extraction_id: Its id.
        lock: Keep others from changing it until the transaction ends.

    Raises:
        NotFound: There is no such extraction.
    """
    row = session.get(
        ExtractionRow, extraction_id, populate_existing=True, with_for_update=True if lock else None
    )
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


def mark_sent(session: Session, extraction_id: str) -> None:
    """Note that a message about the extraction went to the broker."""
    session.execute(
        update(ExtractionRow).where(ExtractionRow.id == extraction_id).values(sent_at=utc_now())
    )


def unsent(session: Session, resend_after: datetime.timedelta) -> list[str]:
    """Extractions to be worked on without a message known to be under way, the oldest first."""
    sent_at = ExtractionRow.sent_at
    query = (
        select(ExtractionRow.id)
        .where(ExtractionRow.state == State.QUEUED, followers.does_not_follow())
        .where(or_(sent_at.is_(None), sent_at < utc_now() - resend_after))
        .order_by(ExtractionRow.id)
        .limit(100)
    )
    return list(session.scalars(query))


def claim(
    session: Session, extraction_id: str, owner: str, lease: datetime.timedelta
) -> ExtractionRow | None:
    """Take a queued extraction, or return None if it is taken or ended, or follows another."""
    now = utc_now()
    changed = session.execute(
        update(ExtractionRow)
        .where(ExtractionRow.id == extraction_id, ExtractionRow.state == State.QUEUED)
        .where(followers.does_not_follow())
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
    events.record(session, extraction_id, State.SEARCHING, attempt=row.attempts)
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
    events.record(session, extraction_id, state)


def choose(
    session: Session, extraction_id: str, owner: str, superlm_id: str, choice: dict[str, Any]
) -> None:
    """Keep what the search chose."""
    _change(session, extraction_id, owner, superlm_id=superlm_id, choice=choice)


def note_miss(session: Session, extraction_id: str, miss: dict[str, Any]) -> None:
    """Record that a student was measured and missed the latency limit."""
    _lock(session, extraction_id)  # its events must appear in the order of their ids
    events.record(session, extraction_id, "missed", **miss)


def succeed(
    session: Session,
    extraction_id: str,
    owner: str,
    receipt: dict[str, Any],
    artifacts: list[ArtifactRow],
) -> None:
    """End an extraction, and those that follow it, with its receipt and artifacts, all or nothing.

    Raises:
        LeaseLost: Another holds the extraction, or it ended.
        Canceled: The user asked it to stop.
    """
    led = _end(session, extraction_id, owner, State.SUCCEEDED, WORKING, receipt=receipt)
    session.add_all(artifacts)
    if led:
        followers.end_followers(session, get(session, extraction_id))


def fail(session: Session, extraction_id: str, owner: str, error: AutoDistilError) -> None:
    """End an extraction, and those that follow it, with a problem."""
    if _end(session, extraction_id, owner, State.FAILED, problem=error.problem()):
        followers.end_followers(session, get(session, extraction_id))


def finish_cancel(session: Session, extraction_id: str, owner: str) -> None:
    """End an extraction that its worker has stopped working on."""
    _end(session, extraction_id, owner, State.CANCELED, [State.CANCELING])


def request_cancel(session: Session, extraction_id: str) -> ExtractionRow:
    """Ask an extraction to stop: a queued one ends at once, a working one at its next step.

    One that is stopping, or has, stays as it is. The oldest that follows it leads from now on.

    Raises:
        NotFound: There is no such extraction.
        Conflict: It has ended otherwise.
    """
    row = get(session, extraction_id, lock=True)
    if row.state in (State.CANCELING, State.CANCELED):
        return row
    if row.state not in (State.QUEUED, *WORKING):
        raise Conflict(f"Extraction {extraction_id} has ended: {row.state}.", state=row.state)
    led, row.leader_key = row.leader_key, None
    if row.state == State.QUEUED:
        row.state, row.finished_at = State.CANCELED, utc_now()
        webhooks.enqueue(session, extraction_id)
    else:
        row.state = State.CANCELING
    session.flush()
    events.record(session, extraction_id, row.state)
    if led:
        followers.pass_on(session, led)
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
            events.record(session, row.id, State.QUEUED, reason="the worker was lost")
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
) -> str | None:
    """Returns the fingerprint of those that follow, if the extraction led."""
    led = _lock(session, extraction_id)
    values |= {"lease_owner": None, "lease_expires_at": None, "finished_at": utc_now()}
    _change(session, extraction_id, owner, states, state=state, leader_key=None, **values)
    detail = values.get("problem") or {}
    problem = {"problem": detail["type"]} if detail else {}
    events.record(session, extraction_id, state, **problem)
    webhooks.enqueue(session, extraction_id)
    return led


def _lock(session: Session, extraction_id: str) -> str | None:
    """Keep others from changing a row until the transaction ends; returns its leader key."""
    query = select(ExtractionRow.leader_key).where(ExtractionRow.id == extraction_id)
    return session.scalar(query.with_for_update())


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
