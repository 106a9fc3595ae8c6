"""A worker's hold on a row, kept alive by a thread while the work goes on."""

import contextlib
import datetime
import logging
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any, Protocol, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from autodistil.errors import AutoDistilError
from database.errors import Canceled, LeaseLost, NotFound
from worker.workshop import Workshop, unexpected

log = logging.getLogger(__name__)

Claimed = TypeVar("Claimed", covariant=True)


class Leased(Protocol[Claimed]):
    """A module of `database` whose rows are worked on under a lease."""

    def claim(
        self, session: Session, key: str, owner: str, lease: datetime.timedelta, /
    ) -> Claimed | None:
        """Take a row that waits; None if there is none."""

    def renew(self, session: Session, key: str, owner: str, lease: datetime.timedelta, /) -> None:
        """Prolong the lease; raises `LeaseLost`."""

    def fail(self, session: Session, key: str, owner: str, error: AutoDistilError, /) -> None:
        """End the row with a problem; raises `LeaseLost`."""

    def get(self, session: Session, key: str, /) -> Any:
        """The row, with its `lease_owner`; raises `NotFound`."""

    def recover(
        self, session: Session, max_attempts: int, /, dead_owner: str | None = None
    ) -> list[str]:
        """Have the rows of an owner that is dead wait again."""


def this_owner() -> str:
    """Name of this process as the owner of a lease: `host:pid`."""
    return f"{socket.gethostname()}:{os.getpid()}"


def is_dead_neighbour(owner: str | None) -> bool:
    """Whether an owner was a process of this host that is gone: its lease need not run out."""
    host, _, pid = (owner or "").rpartition(":")
    if host != socket.gethostname() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def claim(workshop: Workshop, rows: Leased[Claimed], key: str, owner: str) -> Claimed | None:
    """Take a row.

    A message redelivered because a child of this host died finds the row still leased to the
    dead; it is then freed at once instead of when the lease runs out.

    Args:
        workshop: The database, the length of a lease, and how often it may be tried.
        rows: The module of the row.
        key: The row's id or name.
        owner: Who takes it.

    Returns:
        What the module gives for it; None if the row is taken, ended, or gone.
    """
    with workshop.sessions.begin() as session:
        claimed = rows.claim(session, key, owner, workshop.lease)
        if claimed is not None:
            return claimed
        try:
            holder = rows.get(session, key).lease_owner
        except NotFound:
            return None
        if not is_dead_neighbour(holder):
            return None
        rows.recover(session, workshop.max_attempts, dead_owner=holder)
        return rows.claim(session, key, owner, workshop.lease)


@contextlib.contextmanager
def held(workshop: Workshop, rows: Leased[Claimed], key: str, owner: str) -> Iterator[None]:
    """Work on a row that was taken: its lease is kept alive, and what goes wrong ends it as failed.

    Args:
        workshop: The database, and the length of a lease.
        rows: The module of the row.
        key: The row's id or name.
        owner: Who took it.

    Raises:
        LeaseLost: The row is another's now.
        Canceled: The row is to be ended as canceled.
    """
    try:
        with _heartbeat(workshop, rows, key, owner):
            yield
        return
    except (LeaseLost, Canceled):
        raise
    except AutoDistilError as error:
        failure = error
    except Exception as error:
        log.exception("the work on %s failed", key)
        failure = unexpected(error)
    with workshop.sessions.begin() as session:
        rows.fail(session, key, owner, failure)


@contextlib.contextmanager
def _heartbeat(workshop: Workshop, rows: Leased[Claimed], key: str, owner: str) -> Iterator[None]:
    """Renew a lease three times per its length until the block ends; arguments as of `held`."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(workshop.lease.total_seconds() / 3):
            # A database that is away for a moment is tried again; a lost lease is noticed by the
            # work itself at its next step.
            with contextlib.suppress(SQLAlchemyError), workshop.sessions.begin() as session:
                try:
                    rows.renew(session, key, owner, workshop.lease)
                except LeaseLost:
                    return

    thread = threading.Thread(target=beat, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
