"""An API without a worker: what is asked of it stays queued until a test does the work."""

import contextlib
import datetime
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from autodistil.errors import AutoDistilError
from cli.stack import Part, api_part
from database import extractions
from database.session import SessionFactory, open_engine, reading, session_factory
from database.tables import ArtifactRow, State
from models_store.artifacts import FolderStore
from service.app import create_app
from service.prepare import prepare
from service.waiting import Watcher
from worker.settings import Settings

WORKER = "a-worker:1"


@dataclass
class Alone:
    """An API process without a worker.

    Attributes:
        settings: Its settings.
        http: A client with the admin key.
        sessions: Its database.
        key: The admin key.
        api: The process.
    """

    settings: Settings
    http: httpx.Client
    sessions: SessionFactory
    key: str
    api: Part

    @property
    def url(self) -> str:
        """Where it answers."""
        return str(self.http.base_url)

    @property
    def headers(self) -> dict[str, str]:
        """Of a request with the admin key."""
        return {"Authorization": f"Bearer {self.key}"}

    def post(
        self, macs: int | str, headers: dict[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        """Ask for a student."""
        body = {"teacher": "all-MiniLM-L6-v2", "budget": {"macs": macs}, **more}
        return self.http.post("/v1/extractions", json=body, headers=headers)

    def ask(self, macs: int) -> str:
        """Ask for a student that must be waited for."""
        answer = self.post(macs)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def claim(self, job: str) -> None:
        """Begin the work, for a long time."""
        with self.sessions.begin() as session:
            assert extractions.claim(session, job, WORKER, datetime.timedelta(hours=1))

    def advance(self, job: str, state: State) -> None:
        """Go on with the work."""
        with self.sessions.begin() as session:
            extractions.advance(session, job, WORKER, state)

    def succeed(self, job: str, content: bytes = b"student") -> None:
        """End the work with a file in the store."""
        path = self.settings.data_dir / "made"
        path.write_bytes(content)
        entry = FolderStore(self.settings.artifacts_dir).put(path)
        file = ArtifactRow(
            extraction_id=job, name="x", format="y", sha256=entry.sha256, size_bytes=len(content)
        )
        with self.sessions.begin() as session:
            extractions.succeed(session, job, WORKER, {}, [file])

    def fail(self, job: str) -> None:
        """End the work with a problem."""
        with self.sessions.begin() as session:
            extractions.fail(session, job, WORKER, AutoDistilError("on purpose"))

    def state_of(self, job: str) -> str:
        """State of a job, from its row."""
        with reading(self.sessions) as session:
            return extractions.get(session, job).state

    def terminate(self) -> None:
        """Ask the process to stop."""
        assert self.api._process is not None
        os.kill(self.api._process.pid, signal.SIGTERM)


@contextlib.contextmanager
def running_alone(folder: Path, broker_url: str) -> Iterator[Alone]:
    """Start an API without a worker, and stop it."""
    settings = Settings(data_dir=folder, broker_url=broker_url)
    key = prepare(settings).read_text().strip()
    environment = {
        **os.environ,
        "AUTODISTIL_DATA_DIR": str(folder),
        "AUTODISTIL_BROKER_URL": broker_url,
        "AUTODISTIL_SWEEP_SECONDS": "0.3",
        "AUTODISTIL_REQUESTS_PER_MINUTE": "0",
        "AUTODISTIL_FAILED_LOGINS_PER_MINUTE": "0",
    }
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    api = api_part(folder, environment, "127.0.0.1", port)
    engine = open_engine(settings.database_url)
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(engine.dispose)
        api.start()
        cleanup.callback(api.stop)
        headers = {"Authorization": f"Bearer {key}"}
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30)
        http = cleanup.enter_context(client)
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(httpx.TransportError):
                http.get("/healthz")
                break
            assert time.monotonic() < deadline, api.last_lines(40)
            time.sleep(0.1)
        yield Alone(settings, http, session_factory(engine), key, api)


@contextlib.contextmanager
def served(settings: Settings) -> Iterator[tuple[str, Watcher]]:
    """An API in this process; gives its address and its watcher."""
    app = create_app(settings)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}", app.state.parts.watcher
    finally:
        server.should_exit = True
        thread.join()


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="session")
def alone(broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alone]:
    """An API without a worker, on SQLite."""
    with running_alone(tmp_path_factory.mktemp("alone"), f"{broker_url}/8") as running:
        yield running
