"""A worker's hold on a row, kept alive by a thread while the work goes on."""

import contextlib
import datetime
import os
import socket
import threading
from collections.abc import Callable, Iterator

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from database.errors import LeaseLost
from database.session import SessionFactory


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


@contextlib.contextmanager
def heartbeat(
    sessions: SessionFactory, lease: datetime.timedelta, renew: Callable[[Session], None]
) -> Iterator[None]:
    """Renew a lease three times per its length until the block ends.

    Args:
        sessions: The database.
        lease: How long the lease lasts.
        renew: Prolongs it; raises `LeaseLost` if it is gone.
    """
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(lease.total_seconds() / 3):
            # A database that is away for a moment is tried again; a lost lease is noticed by the
            # work itself at its next step.
            with contextlib.suppress(SQLAlchemyError), sessions.begin() as session:
                try:
                    renew(session)
                except LeaseLost:
                    return

    thread = threading.Thread(target=beat, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
