"""Extractions: every change of state, each with its event in the same transaction.

A worker holds an extraction by a lease, see `database.leases`. An extraction that leads takes those
that follow it along, see `database.followers`.
"""

import datetime
from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session, joinedload

from autodistil.errors import AutoDistilError
from database import events, extraction_lease, followers, webhooks
from database.errors import AttemptsExhausted, Conflict, NotFound
from database.extraction_lease import LEASES
from database.tables import WORKING, ArtifactRow, ExtractionRow, State, utc_now

_WITH_ARTIFACTS = (joinedload(ExtractionRow.artifacts),)


def create(
    session: Session,
    request: dict[str, Any],
    api_key_id: str | None,
    *,
    superlm_ids: Sequence[str] = (),
    webhook: dict[str, Any] | None = None,
    fingerprint: str | None = None,
) -> ExtractionRow:
    """Add a queued extraction.

    Args:
        session: A transaction.
        request: What is asked for.
        api_key_id: Who asks.
        superlm_ids: The SuperLMs to choose from, see `database.superlms.pin`.
        webhook: What to call at the end.
        fingerprint: Of one that waits for another with the same, see `database.sharing`.
    """
    row = ExtractionRow(
        request=request,
        api_key_id=api_key_id,
        superlm_ids=list(superlm_ids),
        webhook=webhook,
        fingerprint=fingerprint,
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
    # One SELECT, where nothing is locked: FOR UPDATE does not go with an outer join.
    row = session.get(
        ExtractionRow,
        extraction_id,
        populate_existing=True,
        with_for_update=True if lock else None,
        options=() if lock else _WITH_ARTIFACTS,
    )
    if row is None:
        raise NotFound(f"There is no extraction {extraction_id}.")
    return row


def mark_sent(session: Session, extraction_id: str) -> None:
    """Note that a message about the extraction went to the broker."""
    LEASES.mark_sent(session, extraction_id)


def unsent(session: Session, resend_after: datetime.timedelta) -> list[str]:
    """Extractions to be worked on without a message known to be under way, the oldest first."""
    return LEASES.unsent(session, resend_after, followers.does_not_follow())


def claim(
    session: Session, extraction_id: str, owner: str, lease: datetime.timedelta
) -> ExtractionRow | None:
    """Take a queued extraction, or return None if it is taken or ended, or follows another."""
    condition = followers.does_not_follow()
    values = {"state": State.SEARCHING, "started_at": utc_now()}
    if not LEASES.claim(session, extraction_id, owner, lease, condition, **values):
        return None
    row = get(session, extraction_id)
    events.record(session, extraction_id, State.SEARCHING, attempt=row.attempts)
    return row


def renew(session: Session, extraction_id: str, owner: str, lease: datetime.timedelta) -> None:
    """Prolong a lease.

    Raises:
        LeaseLost: Another holds the extraction, or it ended.
    """
    LEASES.renew(session, extraction_id, owner, lease)


def check(session: Session, extraction_id: str, owner: str) -> None:
    """Ask whether the work should go on.

    Raises:
        LeaseLost: Another holds the extraction, or it ended.
        Canceled: The user asked it to stop.
    """
    extraction_lease.change(session, extraction_id, owner, WORKING, lease_owner=owner)


def advance(session: Session, extraction_id: str, owner: str, state: State) -> None:
    """Go on to the next state of work.

    Raises:
        LeaseLost: Another holds the extraction, or it ended.
        Canceled: The user asked it to stop.
    """
    extraction_lease.change(session, extraction_id, owner, WORKING, state=state)
    events.record(session, extraction_id, state)


def choose(
    session: Session, extraction_id: str, owner: str, superlm_id: str, choice: dict[str, Any]
) -> None:
    """Keep what the search chose."""
    extraction_lease.change(session, extraction_id, owner, superlm_id=superlm_id, choice=choice)


def note_miss(session: Session, extraction_id: str, miss: dict[str, Any]) -> None:
    """Record that a student was measured and missed the latency limit."""
    extraction_lease.lock(session, extraction_id)  # so that events appear in the order of ids
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
    succeeded = State.SUCCEEDED
    led = extraction_lease.end(session, extraction_id, owner, succeeded, WORKING, receipt=receipt)
    session.add_all(artifacts)
    if led:
        followers.end_followers(session, get(session, extraction_id))


def fail(session: Session, extraction_id: str, owner: str, error: AutoDistilError) -> None:
    """End an extraction, and those that follow it, with a problem."""
    if extraction_lease.end(session, extraction_id, owner, State.FAILED, problem=error.problem()):
        followers.end_followers(session, get(session, extraction_id))


def finish_cancel(session: Session, extraction_id: str, owner: str) -> None:
    """End an extraction that its worker has stopped working on."""
    extraction_lease.end(session, extraction_id, owner, State.CANCELED, [State.CANCELING])


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
    for row in LEASES.lost(session, dead_owner, [State.CANCELING]):
        finish_cancel(session, row.id, row.lease_owner or "")

    def give_up(row: ExtractionRow, owner: str) -> None:
        problem = AttemptsExhausted(
            f"A worker died {row.attempts} times on this extraction, perhaps out of memory. "
            "Ask for a smaller student, or see the workers' logs."
        )
        fail(session, row.id, owner, problem)

    queued = LEASES.recover(session, max_attempts, dead_owner, give_up)
    for extraction_id in queued:
        events.record(session, extraction_id, State.QUEUED, reason="the worker was lost")
    return queued
