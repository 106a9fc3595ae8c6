"""A worker's signs of life, written by the main process of Celery, which does no work itself."""

import contextlib
import datetime
import logging
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from autodistil.latency.machine import Machine
from database import workers
from database.session import open_engine, session_factory

log = logging.getLogger(__name__)

_FORGET = datetime.timedelta(days=1)


class Presence:
    """Writes a sign of life again and again until it is stopped; then the row goes.

    Args:
        database_url: The database; connections are made in the thread that uses them.
        device: Name of the device that the worker runs on, if it has one.
        threads: CPU threads of a child's torch; 0 leaves it to torch.
        seconds: Time between two signs of life.
    """

    def __init__(self, database_url: str, device: str | None, threads: int, seconds: float) -> None:
        self._url, self._device, self._threads = database_url, device, threads
        self._seconds = seconds
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, node: str, processes: Callable[[], list[int]]) -> None:
        """Begin.

        Args:
            node: The worker's name, as Celery calls it; the process id tells two of a name apart.
            processes: Finds the ids of the processes that do the work now.
        """
        name = f"{node}:{os.getpid()}"
        facts = {
            "hostname": socket.gethostname(),
            "pid": os.getpid(),
            "threads": self._threads or None,
            "machine": Machine.this().model_dump(mode="json"),
        }
        self._thread = threading.Thread(
            target=self._run, args=(name, facts, processes), name="presence", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End, and remove the row."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, name: str, facts: dict[str, Any], processes: Callable[[], list[int]]) -> None:
        engine = open_engine(self._url)
        self._write(engine, name, {**facts, "processes": processes()})
        while not self._stop.wait(self._seconds):
            self._write(engine, name, {**facts, "processes": processes()})
        with contextlib.suppress(SQLAlchemyError), session_factory(engine).begin() as session:
            workers.forget(session, name)
        engine.dispose()

    def _write(self, engine: Engine, name: str, facts: dict[str, Any]) -> None:
        try:
            with session_factory(engine).begin() as session:
                workers.forget_lost(session, _FORGET)
                workers.see(session, name, self._device, facts)
        except SQLAlchemyError as error:
            log.warning("no sign of life: the database does not answer (%s)", error)
