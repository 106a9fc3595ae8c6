"""Registrations: bundles on their way into the catalogue.

A registration is work like an extraction: a worker holds the row by a lease with an end, and a
change that matches no row means that the lease was lost.
"""

import datetime
from collections.abc import Collection
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from autodistil.errors import AutoDistilError
from database.errors import AttemptsExhausted, LeaseLost, NotFound
from database.tables import RegistrationRow, RegistrationState, SuperLMRow, utc_now

WORKING = (
    RegistrationState.FETCHING,
    RegistrationState.CHECKING,
    RegistrationState.VERIFYING,
    RegistrationState.EVALUATING,
)
"""States in which a worker holds the lease."""

ENDED = (RegistrationState.READY, RegistrationState.FAILED)
"""States that are never left."""


def create(
    session: Session, id_: str, request: dict[str, Any], api_key_id: str | None
) -> RegistrationRow:
    """Add a queued registration.

    Args:
        session: A session.
        id_: From `database.tables.new_id`; an upload lies under it before the row is there.
        request: Where the bundle comes from.
        api_key_id: Whose key asked.
    """
    row = RegistrationRow(id=id_, request=request, api_key_id=api_key_id)
    session.add(row)
    session.flush()
    return row


def get(session: Session, registration_id: str) -> RegistrationRow:
    """A registration.

    Raises:
        NotFound: There is no such registration.
    """
    row = session.get(RegistrationRow, registration_id, populate_existing=True)
    if row is None:
        raise NotFound(f"There is no registration {registration_id}.")
    return row


def list_page(
    session: Session, limit: int, before: str | None = None, state: RegistrationState | None = None
) -> list[RegistrationRow]:
    """Registrations, the newest first; `before` is the id that the last page ended with."""
    query = select(RegistrationRow).order_by(RegistrationRow.id.desc()).limit(limit)
    if before is not None:
        query = query.where(RegistrationRow.id < before)
    if state is not None:
        query = query.where(RegistrationRow.state == state)
    return list(session.scalars(query))


def ended(session: Session, ids: Collection[str]) -> dict[str, bool]:
    """Whether registrations have ended, of those of some ids that are there."""
    query = select(RegistrationRow.id, RegistrationRow.state).where(RegistrationRow.id.in_(ids))
    return {row.id: row.state in ENDED for row in session.execute(query)}


def references(session: Session, rows: Collection[RegistrationRow]) -> dict[str, str]:
    """The SuperLMs that registrations led to, as `name@version` by the registration's id."""
    query = select(SuperLMRow.id, SuperLMRow.name, SuperLMRow.version)
    query = query.where(SuperLMRow.id.in_({row.superlm_id for row in rows if row.superlm_id}))
    found = {row.id: f"{row.name}@{row.version}" for row in session.execute(query)}
    return {row.id: found[row.superlm_id] for row in rows if row.superlm_id in found}


def mark_sent(session: Session, registration_id: str) -> None:
    """Note that a message about the registration went to the broker."""
    session.execute(
        update(RegistrationRow)
        .where(RegistrationRow.id == registration_id)
        .values(sent_at=utc_now())
    )


def unsent(session: Session, resend_after: datetime.timedelta) -> list[str]:
    """Queued registrations that no message is known to be under way for, the oldest first."""
    sent_at = RegistrationRow.sent_at
    query = (
        select(RegistrationRow.id)
        .where(RegistrationRow.state == RegistrationState.QUEUED)
        .where(or_(sent_at.is_(None), sent_at < utc_now() - resend_after))
        .order_by(RegistrationRow.id)
    )
    return list(session.scalars(query))


def claim(
    session: Session, registration_id: str, owner: str, lease: datetime.timedelta
) -> RegistrationRow | None:
    """Take a queued registration, or return None if it is taken or ended."""
    changed = session.execute(
        update(RegistrationRow)
        .where(RegistrationRow.id == registration_id)
        .where(RegistrationRow.state == RegistrationState.QUEUED)
        .values(
            state=RegistrationState.FETCHING,
            lease_owner=owner,
            lease_expires_at=utc_now() + lease,
            attempts=RegistrationRow.attempts + 1,
        )
    )
    # An UPDATE's result has a rowcount, which its type does not say.
    return get(session, registration_id) if changed.rowcount else None  # type: ignore[attr-defined]


def renew(session: Session, registration_id: str, owner: str, lease: datetime.timedelta) -> None:
    """Prolong a lease.

    Raises:
        LeaseLost: Another holds the registration, or it ended.
    """
    _change(session, registration_id, owner, lease_expires_at=utc_now() + lease)


def advance(
    session: Session, registration_id: str, owner: str, state: RegistrationState, percent: int
) -> None:
    """Say which state of work has been reached, and how far all of it is.

    Raises:
        LeaseLost: Another holds the registration, or it ended.
    """
    _change(session, registration_id, owner, state=state, percent=percent)


def succeed(session: Session, registration_id: str, owner: str, superlm_id: str) -> None:
    """End a registration with the SuperLM that it led to.

    Raises:
        LeaseLost: Another holds the registration, or it ended.
    """
    ready = RegistrationState.READY
    _end(session, registration_id, owner, ready, percent=100, superlm_id=superlm_id)


def fail(session: Session, registration_id: str, owner: str, error: AutoDistilError) -> None:
    """End a registration with a problem.

    Raises:
        LeaseLost: Another holds the registration, or it ended.
    """
    _end(session, registration_id, owner, RegistrationState.FAILED, problem=error.problem())


def recover(session: Session, max_attempts: int, dead_owner: str | None = None) -> list[str]:
    """Take registrations away from workers that are gone: whose lease ran out, or `dead_owner`.

    Returns:
        Ids of the registrations that are queued again.
    """
    gone = RegistrationRow.lease_expires_at < utc_now()
    if dead_owner is not None:
        gone = RegistrationRow.lease_owner == dead_owner
    query = select(RegistrationRow).where(RegistrationRow.state.in_(WORKING), gone)
    queued = []
    for row in session.scalars(query.with_for_update(skip_locked=True)):
        owner = row.lease_owner or ""
        if row.attempts >= max_attempts:
            problem = AttemptsExhausted(
                f"A worker died {row.attempts} times on this registration, perhaps out of memory; "
                "see the workers' logs."
            )
            fail(session, row.id, owner, problem)
        else:
            values = {"lease_owner": None, "sent_at": None, "percent": 0}
            _change(session, row.id, owner, state=RegistrationState.QUEUED, **values)
            queued.append(row.id)
    return queued


def _end(
    session: Session, registration_id: str, owner: str, state: RegistrationState, **values: Any
) -> None:
    values |= {"lease_owner": None, "lease_expires_at": None, "finished_at": utc_now()}
    _change(session, registration_id, owner, state=state, **values)


def _change(session: Session, registration_id: str, owner: str, **values: Any) -> None:
    changed = session.execute(
        update(RegistrationRow)
        .where(RegistrationRow.id == registration_id, RegistrationRow.lease_owner == owner)
        .where(RegistrationRow.state.in_(WORKING))
        .values(**values)
    )
    if not changed.rowcount:  # type: ignore[attr-defined]
        raise LeaseLost(f"{owner} no longer holds registration {registration_id}.")
