"""The real parts that tests run against: databases, the API, a worker, and short ways to them."""

import contextlib
import json
import os
import shutil
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy
from fastapi import FastAPI
from fastapi.testclient import TestClient

from autodistil.superlm import SPEC, SuperLM, open_superlm
from cli.stack import api_part, worker_part
from database import api_keys, extractions
from database.session import SessionFactory, migrate, open_engine, reading, session_factory
from database.tables import TERMINAL, WORKING, EventRow, ExtractionRow, State
from service.app import create_app
from service.registration import register_bundle
from tests.factories import edit_json
from worker.settings import Settings

LEASE_SECONDS = 2.0
MAX_ATTEMPTS = 2
_PATIENCE = 60.0


class Databases:
    """Fresh, migrated databases of one kind, copied from a template.

    Args:
        folder: Where SQLite files go.
        server: URL of a PostgreSQL server; None for SQLite.
    """

    def __init__(self, folder: Path, server: str | None = None) -> None:
        self._folder, self._server = folder, server
        self._template = self.empty()
        migrate(self._template)

    def empty(self) -> str:
        """URL of a new database without tables."""
        return self._add("")

    def migrated(self) -> str:
        """URL of a new database with all tables."""
        return self._add(self._template)

    def _add(self, template: str) -> str:
        name = f"test_{uuid.uuid4().hex[:12]}"
        if self._server is None:
            path = self._folder / f"{name}.db"
            if template:
                shutil.copyfile(template.removeprefix("sqlite:///"), path)
            return f"sqlite:///{path}"
        source = sqlalchemy.make_url(template).database if template else "template1"
        engine = sqlalchemy.create_engine(self._server, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {source}")
        engine.dispose()
        url = sqlalchemy.make_url(self._server).set(database=name)
        return url.render_as_string(hide_password=False)


@contextlib.contextmanager
def opened(url: str) -> Iterator[SessionFactory]:
    """Sessions on a database; its connections are closed at the end."""
    engine = open_engine(url)
    try:
        yield session_factory(engine)
    finally:
        engine.dispose()


def free_port() -> int:
    """A port of this host that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for[T](what: Callable[[], T], patience: float = _PATIENCE, pause: float = 0.02) -> T:
    """The first true value of a function that is called again and again."""
    deadline = time.monotonic() + patience
    while not (value := what()):
        assert time.monotonic() < deadline, f"nothing came of it in {patience:g} s"
        time.sleep(pause)
    return value


def bearer(key: str) -> dict[str, str]:
    """The header that carries an API key."""
    return {"Authorization": f"Bearer {key}"}


def revision_of(superlm: SuperLM, folder: Path, **changes: Any) -> SuperLM:
    """A copy of a bundle whose spec differs, such as another version of it."""
    shutil.copytree(superlm.folder, folder)
    edit_json(folder / SPEC, lambda spec: {**spec, **changes})
    return open_superlm(folder)


@dataclass
class Service:
    """An API over one database, called in this process or over a socket.

    Attributes:
        http: A client without a key.
        settings: What the API was started with.
        sessions: The same database.
        admin: Headers with an admin's key.
        user: Headers with a key of the scope `extract`.
    """

    http: httpx.Client
    settings: Settings
    sessions: SessionFactory
    admin: dict[str, str]
    user: dict[str, str]

    @property
    def app(self) -> FastAPI:
        """The application, where it runs in this process."""
        assert isinstance(self.http, TestClient)
        app = self.http.app
        assert isinstance(app, FastAPI)
        return app

    def ask(self, **budget: Any) -> dict[str, Any]:
        """Queue an extraction from the tiny SuperLM."""
        return self.post({"superlm": "stock", "budget": budget or {"macs": 10**9}})

    def post(self, body: dict[str, Any]) -> dict[str, Any]:
        """Queue an extraction."""
        answer = self.http.post("/v1/extractions", json=body, headers=self.user)
        assert answer.status_code == 202, answer.text
        return answer.json()

    def get(self, extraction_id: str) -> dict[str, Any]:
        """An extraction as the API shows it."""
        answer = self.http.get(f"/v1/extractions/{extraction_id}", headers=self.user)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def finished(self, extraction_id: str) -> dict[str, Any]:
        """An extraction, when it has ended."""
        return wait_for(
            lambda: (found := self.get(extraction_id))["state"] in TERMINAL and found, pause=0.05
        )

    def row(self, extraction_id: str) -> ExtractionRow:
        """An extraction as the database has it."""
        with reading(self.sessions) as session:
            return extractions.get(session, extraction_id)

    def events(self, extraction_id: str) -> list[str]:
        """Kinds of an extraction's events, in order."""
        query = sqlalchemy.select(EventRow.kind).where(EventRow.extraction_id == extraction_id)
        with reading(self.sessions) as session:
            return list(session.scalars(query.order_by(EventRow.id)))

    def working_child(self, extraction_id: str) -> int:
        """Process id of the worker's child that is busy with an extraction."""

        def found() -> int:
            row = self.row(extraction_id)
            assert row.state not in TERMINAL, f"too late to catch it: {row.state}"
            busy = row.state in WORKING and row.state != State.SEARCHING
            return int((row.lease_owner or "").rpartition(":")[2]) if busy else 0

        return wait_for(found, pause=0.002)

    def freeze_child(self, extraction_id: str) -> int:
        """Stop the child that is busy with an extraction, at a moment when it holds no lock."""
        child = self.working_child(extraction_id)
        while True:
            os.kill(child, signal.SIGSTOP)
            try:
                with self.sessions.begin() as session:
                    if self.settings.database_url.startswith("sqlite"):
                        return child
                    session.execute(sqlalchemy.text("SET LOCAL lock_timeout = '500ms'"))
                    query = sqlalchemy.select(ExtractionRow.id).with_for_update()
                    session.scalar(query.where(ExtractionRow.id == extraction_id))
                    return child
            except sqlalchemy.exc.OperationalError:
                os.kill(child, signal.SIGCONT)
                time.sleep(0.05)


def make_settings(data_dir: Path, database_url: str, broker_url: str, **more: Any) -> Settings:
    """Settings for a test; the sweeper of the API rests unless asked for."""
    return Settings(
        data_dir=data_dir,
        database_url=database_url,
        broker_url=broker_url,
        **{
            "lease_seconds": LEASE_SECONDS,
            "max_attempts": MAX_ATTEMPTS,
            "sweep_seconds": 3600.0,
            "threads": 1,
            **more,
        },
    )


def as_environment(settings: Settings) -> dict[str, str]:
    """The environment that gives a process these settings."""
    values = settings.model_dump(mode="json")
    own = {
        f"AUTODISTIL_{name.upper()}": json.dumps(value) if isinstance(value, list) else str(value)
        for name, value in values.items()
    }
    return {**os.environ, **own, "PYTHONUNBUFFERED": "1"}


def _populate(sessions: SessionFactory, settings: Settings, bundles: list[SuperLM]) -> list[str]:
    with sessions.begin() as session:
        for bundle in bundles:
            register_bundle(session, bundle.folder, settings.superlms_dir)
        return [api_keys.create_key(session, s, [s])[1] for s in ("admin", "extract")]


@contextlib.contextmanager
def serving_here(settings: Settings, bundles: list[SuperLM]) -> Iterator[Service]:
    """The API in this process, without a worker."""
    with opened(settings.database_url) as sessions:
        admin, user = _populate(sessions, settings, bundles)
        with TestClient(create_app(settings), raise_server_exceptions=False) as http:
            yield Service(http, settings, sessions, bearer(admin), bearer(user))


@contextlib.contextmanager
def serving_stack(settings: Settings, bundles: list[SuperLM]) -> Iterator[Service]:
    """The API and a worker, each a process of its own."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    port, environment = free_port(), as_environment(settings)
    worker = worker_part(settings.data_dir, environment)
    api = api_part(settings.data_dir, environment, "127.0.0.1", port)
    with contextlib.ExitStack() as stack:
        sessions = stack.enter_context(opened(settings.database_url))
        admin, user = _populate(sessions, settings, bundles)
        for part in (worker, api):
            part.start()
            stack.callback(part.stop)
        http = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30))

        def ready() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return http.get("/readyz").status_code == 200
            return False

        wait_for(ready, pause=0.1)
        yield Service(http, settings, sessions, bearer(admin), bearer(user))
