"""Devices: their latency profiles, and the profiling that workers on them do.

Profiling is work like an extraction: a worker holds the row by a lease, see `database.leases`. A
lease is lost, too, when the profiling is asked for anew.
"""

import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from autodistil.errors import AutoDistilError, explain
from autodistil.latency.device_profile import DeviceProfile
from autodistil.search.budget import Budget
from database.errors import AttemptsExhausted, Conflict, NotFound
from database.leases import Leases, ending
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
    _LEASES.mark_sent(session, name)


def unsent(session: Session, resend_after: datetime.timedelta) -> list[str]:
    """Devices whose profiling waits without a message known to be under way."""
    return _LEASES.unsent(session, resend_after)


def claim(
    session: Session, name: str, owner: str, lease: datetime.timedelta
) -> dict[str, Any] | None:
    """Take a profiling that waits; returns its request, or None if there is none to take."""
    values = {"state": DeviceState.PROFILING, "started_at": utc_now()}
    taken = _LEASES.claim(session, name, owner, lease, **values)
    return get(session, name).request if taken else None


def renew(session: Session, name: str, owner: str, lease: datetime.timedelta) -> None:
    """Prolong a lease.

    Raises:
        LeaseLost: Another profiles the device, or it is to be done anew.
    """
    _LEASES.renew(session, name, owner, lease)


def report(session: Session, name: str, owner: str, percent: int) -> None:
    """Say how far the profiling is.

    Raises:
        LeaseLost: Another profiles the device, or it is to be done anew.
    """
    _LEASES.change(session, name, owner, percent=percent)


def succeed(session: Session, name: str, owner: str, profile: DeviceProfile) -> None:
    """End a profiling with its profile.

    Raises:
        LeaseLost: Another profiles the device, or it is to be done anew.
    """
    content = profile.model_dump(mode="json")
    values = ending() | {"state": DeviceState.READY, "profile": content}
    _LEASES.change(session, name, owner, percent=100, **values)


def fail(session: Session, name: str, owner: str, error: AutoDistilError) -> None:
    """End a profiling with a problem; a profile from before stays.

    Raises:
        LeaseLost: Another profiles the device, or it is to be done anew.
    """
    values = ending() | {"state": DeviceState.FAILED, "problem": error.problem()}
    _LEASES.change(session, name, owner, **values)


def recover(session: Session, max_attempts: int, dead_owner: str | None = None) -> list[str]:
    """Take profilings away from workers that are gone: whose lease ran out, or `dead_owner`.

    Returns:
        Names of the devices whose profiling waits again.
    """

    def give_up(row: DeviceRow, owner: str) -> None:
        problem = AttemptsExhausted(
            f"A worker died {row.attempts} times while it profiled {row.name}, perhaps out of "
            "memory. Ask for fewer or smaller conditions, or see the workers' logs."
        )
        fail(session, row.name, owner, problem)

    return _LEASES.recover(session, max_attempts, dead_owner, give_up, percent=0)


_LEASES = Leases(
    DeviceRow,
    DeviceRow.name,
    DeviceRow.requested_at,
    "the profiling of",
    DeviceState.QUEUED,
    (DeviceState.PROFILING,),
)
