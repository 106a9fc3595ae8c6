"""Devices: their latency profiles, and the profiling that workers on them do.

Profiling is work like an extraction: a worker holds the row by a lease with an end, and a change
that matches no row means that the lease was lost, or that the profiling was asked for anew.
"""

import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from autodistil.errors import AutoDistilError, explain
from autodistil.latency.device_profile import DeviceProfile
from autodistil.search.budget import Budget
from database.errors import AttemptsExhausted, Conflict, LeaseLost, NotFound
from database.tables import DeviceRow, DeviceState, utc_now


def request_profiling(session: Session, name: str, request: dict[str, Any]) -> DeviceRow:
    """Ask for a device to be profiled; what was asked for before is replaced by this.

    Raises:
        Conflict: Somebody else asks for the first profile of the device at this moment.
    """
    row = session.get(DeviceRow, name, with_for_update=True)
    if row is None:
        row = DeviceRow(name=name, request=request)
        session.add(row)
    row.request, row.state, row.problem = request, DeviceState.QUEUED, None
    row.percent, row.attempts = 0, 0
    row.lease_owner = row.lease_expires_at = row.sent_at = None
    row.requested_at, row.started_at, row.finished_at = utc_now(), None, None
    try:
        session.flush()
    except IntegrityError as error:
        raise Conflict(f"The profiling of {name} has just been asked for.") from error
    return row


def get(session: Session, name: str) -> DeviceRow:
    """A device.

    Raises:
        NotFound: There is no such device.
    """
    row = session.get(DeviceRow, name, populate_existing=True)
    if row is None:
        known = ", ".join(row.name for row in list_all(session)) or "none"
        raise NotFound(f"There is no device {name!r}; there is {known}.")
    return row


def list_all(session: Session) -> list[DeviceRow]:
    """All devices by name."""
    return list(session.scalars(select(DeviceRow).order_by(DeviceRow.name)))


def delete(session: Session, name: str) -> None:
    """Forget a device and its profile.

    Raises:
        NotFound: There is no such device.
    """
    session.delete(get(session, name))


def profiles_for(session: Session, budget: Budget) -> dict[str, DeviceProfile]:
    """Every profile by its device's name, if the budget limits latency, else none.

    Raises:
        AutoDistilError: The stored profile of the budget's device cannot be read.
    """
    if budget.latency is None:
        return {}
    profiles: dict[str, DeviceProfile] = {}
    for row in list_all(session):
        try:
            profile = read_profile(row)
        except AutoDistilError:
            if row.name == budget.latency.device:
                raise
        else:
            profiles |= {row.name: profile} if profile else {}
    return profiles


def read_profile(row: DeviceRow) -> DeviceProfile | None:
    """The profile of a device, if it has one.

    Raises:
        AutoDistilError: It cannot be read, as another version may have written it.
    """
    if row.profile is None:
        return None
    try:
        return DeviceProfile.model_validate(row.profile)
    except ValidationError as error:
        raise AutoDistilError(
            f"The stored profile of {row.name} cannot be read ({explain(error)}); profile the "
            "device again."
        ) from error


def mark_sent(session: Session, name: str) -> None:
    """Note that a message about the profiling went to the broker."""
    session.execute(update(DeviceRow).where(DeviceRow.name == name).values(sent_at=utc_now()))


def unsent(session: Session, resend_after: datetime.timedelta) -> list[str]:
    """Devices whose profiling waits without a message known to be under way."""
    sent_at = DeviceRow.sent_at
    query = (
        select(DeviceRow.name)
        .where(DeviceRow.state == DeviceState.QUEUED)
        .where(or_(sent_at.is_(None), sent_at < utc_now() - resend_after))
        .order_by(DeviceRow.requested_at)
    )
    return list(session.scalars(query))


def claim(
    session: Session, name: str, owner: str, lease: datetime.timedelta
) -> dict[str, Any] | None:
    """Take a profiling that waits; returns its request, or None if there is none to take."""
    now = utc_now()
    changed = session.execute(
        update(DeviceRow)
        .where(DeviceRow.name == name, DeviceRow.state == DeviceState.QUEUED)
        .values(
            state=DeviceState.PROFILING,
            lease_owner=owner,
            lease_expires_at=now + lease,
            attempts=DeviceRow.attempts + 1,
            started_at=now,
        )
    )
    if not changed.rowcount:  # type: ignore[attr-defined]  # an UPDATE's result has it
        return None
    return get(session, name).request


def renew(session: Session, name: str, owner: str, lease: datetime.timedelta) -> None:
    """Prolong a lease.

    Raises:
        LeaseLost: Another profiles the device, or it is to be done anew.
    """
    _change(session, name, owner, lease_expires_at=utc_now() + lease)


def report(session: Session, name: str, owner: str, percent: int) -> None:
    """Say how far the profiling is.

    Raises:
        LeaseLost: Another profiles the device, or it is to be done anew.
    """
    _change(session, name, owner, percent=percent)


def succeed(session: Session, name: str, owner: str, profile: DeviceProfile) -> None:
    """End a profiling with its profile.

    Raises:
        LeaseLost: Another profiles the device, or it is to be done anew.
    """
    content = profile.model_dump(mode="json")
    _end(session, name, owner, DeviceState.READY, percent=100, profile=content)


def fail(session: Session, name: str, owner: str, error: AutoDistilError) -> None:
    """End a profiling with a problem; a profile from before stays."""
    _end(session, name, owner, DeviceState.FAILED, problem=error.problem())


def recover(session: Session, max_attempts: int, dead_owner: str | None = None) -> list[str]:
    """Take profilings away from workers that are gone: whose lease ran out, or `dead_owner`.

    Returns:
        Names of the devices whose profiling waits again.
    """
    gone = DeviceRow.lease_expires_at < utc_now()
    if dead_owner is not None:
        gone = DeviceRow.lease_owner == dead_owner
    query = select(DeviceRow).where(DeviceRow.state == DeviceState.PROFILING, gone)
    queued = []
    for row in session.scalars(query.with_for_update(skip_locked=True)):
        owner = row.lease_owner or ""
        if row.attempts >= max_attempts:
            problem = AttemptsExhausted(
                f"A worker died {row.attempts} times while it profiled {row.name}, perhaps out of "
                "memory. Ask for fewer or smaller conditions, or see the workers' logs."
            )
            fail(session, row.name, owner, problem)
        else:
            values = {"state": DeviceState.QUEUED, "lease_owner": None, "sent_at": None}
            _change(session, row.name, owner, percent=0, **values)
            queued.append(row.name)
    return queued


def _end(session: Session, name: str, owner: str, state: DeviceState, **values: Any) -> None:
    values |= {"lease_owner": None, "lease_expires_at": None, "finished_at": utc_now()}
    _change(session, name, owner, state=state, **values)


def _change(session: Session, name: str, owner: str, **values: Any) -> None:
    changed = session.execute(
        update(DeviceRow)
        .where(DeviceRow.name == name, DeviceRow.lease_owner == owner)
        .where(DeviceRow.state == DeviceState.PROFILING)
        .values(**values)
    )
    if not changed.rowcount:  # type: ignore[attr-defined]
        raise LeaseLost(f"{owner} no longer profiles the device {name}.")
