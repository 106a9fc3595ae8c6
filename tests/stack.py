"""A whole stack for tests: prepared database, Celery worker process, uvicorn process."""

import contextlib
import os
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from cli.stack import Part, api_part, worker_part
from database.session import SessionFactory, open_engine, reading, session_factory
from database.tables import ExtractionRow
from service.prepare import prepare
from worker.settings import Settings

LEASE_SECONDS = 2.0
DEVICE = "test-cpu"


@dataclass
class Stack:
    """A running stack.

    Attributes:
        settings: Its settings.
        http: A client with the admin key.
        sessions: Its database.
        worker: The worker process.
        key: The admin key.
    """

    settings: Settings
    http: httpx.Client
    sessions: SessionFactory
    worker: Part
    key: str

    def ask(self, budget: dict[str, Any], **more: Any) -> dict[str, Any]:
        """POST an extraction that must be accepted."""
        body = {"teacher": "all-MiniLM-L6-v2", "budget": budget, **more}
        response = self.http.post("/v1/extractions", json=body)
        assert response.status_code in (200, 202), response.text
        answer: dict[str, Any] = response.json()
        return answer

    def register(self, body: dict[str, str]) -> dict[str, Any]:
        """POST a registration that must be accepted, and wait until it has ended."""
        response = self.http.post("/v1/admin/superlms", json=body)
        assert response.status_code == 202, response.text
        return self.wait_registration(response.headers["location"])

    def wait_registration(self, location: str, timeout: float = 60.0) -> dict[str, Any]:
        """Poll a registration until it has ended."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            answer: dict[str, Any] = self.http.get(location).json()
            if answer["state"] in ("ready", "failed"):
                return answer
            time.sleep(0.05)
        raise AssertionError(f"still {answer['state']}: {self.worker.last_lines()}")

    def wait(self, extraction_id: str, timeout: float = 60.0) -> dict[str, Any]:
        """Poll an extraction until it has ended."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            answer: dict[str, Any] = self.http.get(f"/v1/extractions/{extraction_id}").json()
            if answer["state"] in ("succeeded", "failed", "canceled"):
                return answer
            time.sleep(0.05)
        raise AssertionError(f"still {answer['state']}: {self.worker.last_lines()}")

    @contextlib.contextmanager
    def stopped_worker(self, extraction_id: str) -> Iterator[int]:
        """Stop the child that works on an extraction, for the length of the block."""
        while True:
            child = self.catch_working(extraction_id)
            os.kill(child, signal.SIGSTOP)
            if self._can_write():
                break
            os.kill(child, signal.SIGCONT)  # caught inside a transaction of SQLite
        try:
            yield child
        finally:
            os.kill(child, signal.SIGCONT)

    def _can_write(self) -> bool:
        path = self.settings.database_url.removeprefix("sqlite:///")
        if path == self.settings.database_url:
            return True
        with contextlib.closing(sqlite3.connect(path, timeout=0.1)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            return True

    def catch_working(self, extraction_id: str, timeout: float = 30.0) -> int:
        """Wait until a worker child holds an extraction and return the child's process id."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with reading(self.sessions) as session:
                row = session.get(ExtractionRow, extraction_id)
                assert row is not None
                if row.lease_owner:
                    return int(row.lease_owner.rpartition(":")[2])
                assert row.finished_at is None, "ended before it could be caught"
            time.sleep(0.002)
        raise AssertionError("no worker took it")


@contextlib.contextmanager
def running_stack(folder: Path, database_url: str, broker_url: str) -> Iterator[Stack]:
    """Start a stack, wait until it is ready, and stop it."""
    settings = Settings(
        data_dir=folder,
        database_url=database_url,
        broker_url=broker_url,
        lease_seconds=LEASE_SECONDS,
        max_attempts=2,
        sweep_seconds=0.3,
        resend_seconds=3.0,
        threads=1,
    )
    key = prepare(settings).read_text().strip()
    environment = {
        **os.environ,
        "AUTODISTIL_DATA_DIR": str(folder),
        "AUTODISTIL_DATABASE_URL": database_url,
        "AUTODISTIL_BROKER_URL": broker_url,
        "AUTODISTIL_LEASE_SECONDS": str(LEASE_SECONDS),
        "AUTODISTIL_MAX_ATTEMPTS": "2",
        "AUTODISTIL_SWEEP_SECONDS": "0.3",
        "AUTODISTIL_RESEND_SECONDS": "3",
        "AUTODISTIL_THREADS": "1",
        "AUTODISTIL_DEVICE": DEVICE,
        "AUTODISTIL_PRESENCE_SECONDS": "0.3",
        "AUTODISTIL_MAX_UPLOAD_BYTES": "50000000",
        "AUTODISTIL_BUNDLE_HOSTS": '["127.0.0.1", "bundles.example.com"]',
        # Counted, but never reached by tests that ask again and again.
        "AUTODISTIL_REQUESTS_PER_MINUTE": "1000000",
        "AUTODISTIL_FAILED_LOGINS_PER_MINUTE": "1000000",
        "AUTODISTIL_DEVELOPMENT_WEBHOOKS": "true",
        "AUTODISTIL_WEBHOOK_RETRY_SECONDS": "[0.1, 0.1]",
    }
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    engine = open_engine(database_url)
    worker = worker_part(folder, environment)
    api = api_part(folder, environment, "127.0.0.1", port)
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(engine.dispose)
        for part in (worker, api):
            part.start()
            cleanup.callback(part.stop)
        headers = {"Authorization": f"Bearer {key}"}
        http = cleanup.enter_context(
            httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30)
        )
        wait_ready(http, [worker, api])
        yield Stack(settings, http, session_factory(engine), worker, key)


def wait_ready(http: httpx.Client, parts: list[Part]) -> None:
    """Wait until the service says that it can work."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            if http.get("/readyz").status_code == 200:
                return
        time.sleep(0.2)
    raise AssertionError("\n".join(part.last_lines(40) for part in parts))
