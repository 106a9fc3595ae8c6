"""Registrations: bundles on their way into the catalogue.

A registration is work like an extraction: a worker holds the row by a lease, see `database.leases`.
"""

import datetime
from collections.abc import Collection
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from autodistil.errors import AutoDistilError
from database.errors import AttemptsExhausted, NotFound
from database.leases import Leases, ending
from database.pages import Page, newest_first
from database.tables import RegistrationRow, RegistrationState, SuperLMRow

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
) -> Page[RegistrationRow]:
    """Registrations, the newest first, from the `next_cursor` of the page before on."""
    query = select(RegistrationRow)
    if state is not None:
        query = query.where(RegistrationRow.state == state)
    return newest_first(session, query, RegistrationRow.id, limit, before)


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
    _LEASES.mark_sent(session, registration_id)


def unsent(session: Session, resend_after: datetime.timedelta) -> list[str]:
    """Queued registrations that no message is known to be under way for, the oldest first."""
    return _LEASES.unsent(session, resend_after)


def claim(
    session: Session, registration_id: str, owner: str, lease: datetime.timedelta
) -> RegistrationRow | None:
    """Take a queued registration, or return None if it is taken or ended."""
    fetching = RegistrationState.FETCHING
    taken = _LEASES.claim(session, registration_id, owner, lease, state=fetching)
    return get(session, registration_id) if taken else None


def renew(session: Session, registration_id: str, owner: str, lease: datetime.timedelta) -> None:
    """Prolong a lease.

    Raises:
        LeaseLost: Another holds the registration, or it ended.
    """
    _LEASES.renew(session, registration_id, owner, lease)


def advance(
    session: Session, registration_id: str, owner: str, state: RegistrationState, percent: int
) -> None:
    """Say which state of work has been reached, and how far all of it is.

    Raises:
        LeaseLost: Another holds the registration, or it ended.
    """
    _LEASES.change(session, registration_id, owner, state=state, percent=percent)


def succeed(session: Session, registration_id: str, owner: str, superlm_id: str) -> None:
    """End a registration with the SuperLM that it led to.

    Raises:
        LeaseLost: Another holds the registration, or it ended.
    """
    values = ending() | {"state": RegistrationState.READY, "superlm_id": superlm_id}
    _LEASES.change(session, registration_id, owner, percent=100, **values)


def fail(session: Session, registration_id: str, owner: str, error: AutoDistilError) -> None:
    """End a registration with a problem.

    Raises:
        LeaseLost: Another holds the registration, or it ended.
    """
    values = ending() | {"state": RegistrationState.FAILED, "problem": error.problem()}
    _LEASES.change(session, registration_id, owner, **values)


def recover(session: Session, max_attempts: int, dead_owner: str | None = None) -> list[str]:
    """Take registrations away from workers that are gone: whose lease ran out, or `dead_owner`.

    Returns:
        Ids of the registrations that are queued again.
    """

    def give_up(row: RegistrationRow, owner: str) -> None:
        problem = AttemptsExhausted(
            f"A worker died {row.attempts} times on this registration, perhaps out of memory; "
            "see the workers' logs."
        )
        fail(session, row.id, owner, problem)

    return _LEASES.recover(session, max_attempts, dead_owner, give_up, percent=0)


_LEASES = Leases(
    RegistrationRow,
    RegistrationRow.id,
    RegistrationRow.id,
    "registration",
    RegistrationState.QUEUED,
    WORKING,
)
