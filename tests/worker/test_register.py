"""Registrations as a worker does them, and as workers that die do them."""

import contextlib
import datetime
import hashlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from sqlalchemy import select

from autodistil.extraction.parity import check_parity
from autodistil.superlm.bundle import open_superlm
from database import audit, registrations, superlms
from database.session import SessionFactory, migrate, open_engine, reading, session_factory
from database.tables import AuditRow, RegistrationRow, new_id
from models_store.artifacts import FolderStore
from models_store.uploads import Uploads
from service.uploads import UPLOAD_PATH
from tests.archives import files_below, packed, repr_digest, variant
from tests.stack import Stack
from worker import register
from worker.lease import this_owner
from worker.register import Intake, run_registration
from worker.workshop import Workshop

LEASE = datetime.timedelta(seconds=30)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def workshop(empty_database: str, tmp_path: Path) -> Iterator[Workshop]:
    migrate(empty_database)
    engine = open_engine(empty_database)
    store = FolderStore(tmp_path / "data" / "artifacts")
    scratch = tmp_path / "data" / "scratch"
    yield Workshop(session_factory(engine), store, scratch, LEASE, max_attempts=2)
    engine.dispose()


@pytest.fixture
def intake(tmp_path: Path) -> Intake:
    data = tmp_path / "data"
    return Intake(
        Uploads(data / "uploads"), data / "superlms", hosts=("127.0.0.1",), development_urls=True
    )


def ask(sessions: SessionFactory, **source: Any) -> str:
    with sessions.begin() as session:
        return registrations.create(session, new_id(), source, None).id


def row_of(sessions: SessionFactory, id_: str) -> RegistrationRow:
    with reading(sessions) as session:
        return registrations.get(session, id_)


@contextlib.contextmanager
def served(folder: Path, content: bytes) -> Iterator[str]:
    """The URL of a server's only file."""
    folder.mkdir()
    (folder / "bundle.tar.gz").write_bytes(content)
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/bundle.tar.gz"
        finally:
            server.shutdown()


def test_a_bundle_behind_a_url_gets_ready(
    workshop: Workshop, intake: Intake, tmp_path: Path
) -> None:
    content = packed(variant(tmp_path / "bundle", "far"))
    with served(tmp_path / "served", content) as url:
        sha256 = hashlib.sha256(content).hexdigest()
        good = ask(workshop.sessions, url=url, sha256=sha256)
        bad = ask(workshop.sessions, url=url, sha256="0" * 64)
        for id_ in (bad, good, good):  # a message may arrive twice
            run_registration(workshop, intake, id_)
    row = row_of(workshop.sessions, good)
    assert (row.state, row.percent, row.attempts, row.lease_owner) == ("ready", 100, 1, None)
    with reading(workshop.sessions) as session:
        found = superlms.get(session, "far@1")
        (entry,) = session.scalars(select(AuditRow))
    assert row.superlm_id == found.id
    assert (entry.action, entry.subject) == (audit.Action.SUPERLM_READY, "far@1")
    assert open_superlm(Path(found.folder)).sha256 == found.sha256
    failed = row_of(workshop.sessions, bad)
    assert failed.problem is not None
    assert (failed.state, failed.problem["type"]) == ("failed", "fetch-failed")
    assert files_below(tmp_path / "data" / "uploads", workshop.scratch) == []


@pytest.mark.parametrize("way", ["path", "url", "upload"])
def test_a_bundle_that_is_too_large_is_refused_whichever_way_it_comes(
    workshop: Workshop, intake: Intake, tmp_path: Path, way: str
) -> None:
    bundle = variant(tmp_path / "bundle", "large")
    size = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())
    content = packed(bundle)
    with served(tmp_path / "served", content) as url:
        sources: dict[str, dict[str, Any]] = {
            "path": {"path": str(bundle)},
            "url": {"url": url, "sha256": hashlib.sha256(content).hexdigest()},
            "upload": {"sha256": hashlib.sha256(content).hexdigest()},
        }
        id_ = ask(workshop.sessions, **sources[way])
        if way == "upload":
            intake.uploads.partial(id_).write_bytes(content)
            intake.uploads.partial(id_).rename(intake.uploads.archive(id_))
        run_registration(workshop, replace(intake, max_bytes=size - 1), id_)
    row = row_of(workshop.sessions, id_)
    assert (row.state, row.superlm_id) == ("failed", None)
    assert row.problem is not None
    assert row.problem["type"] == "invalid-bundle"
    assert "AUTODISTIL_MAX_UPLOAD_BYTES" in row.problem["detail"]
    assert files_below(tmp_path / "data") == [str(tmp_path / "data" / "uploads")]


def test_a_bundle_whose_student_differs_from_it_is_refused(
    workshop: Workshop, intake: Intake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No bundle does that: the slicing itself must be wrong, as by a fault of this machine.
    from autodistil.extraction import handover

    def slice_wrongly(superlm: Any, architecture: Any) -> Any:
        tensors = right(superlm, architecture)
        name = next(iter(tensors))
        return {**tensors, name: tensors[name] * 1.5}

    right = handover.slice_student
    monkeypatch.setattr(handover, "slice_student", slice_wrongly)
    assert handover.check_parity is check_parity
    id_ = ask(workshop.sessions, path=str(variant(tmp_path / "bundle", "odd")))
    run_registration(workshop, intake, id_)
    row = row_of(workshop.sessions, id_)
    assert row.problem is not None
    assert (row.state, row.problem["type"]) == ("failed", "parity-failure")
    assert files_below(tmp_path / "data") == [str(tmp_path / "data" / "uploads")]


def test_a_worker_that_lost_its_lease_leaves_the_upload_to_the_next(
    workshop: Workshop, intake: Intake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = ask(workshop.sessions, sha256="0" * 64)
    archive = intake.uploads.partial(id_).with_name(f"{id_}.tar.gz")
    archive.write_bytes(packed(variant(tmp_path / "bundle", "passed-on")))

    def lose(*arguments: Any) -> None:
        with workshop.sessions.begin() as session:
            registrations.recover(session, 2, dead_owner=this_owner())
            assert registrations.claim(session, id_, "another:1", LEASE)
        unpack(*arguments)

    unpack = register.unpack
    monkeypatch.setattr(register, "unpack", lose)
    run_registration(workshop, intake, id_)
    assert (row_of(workshop.sessions, id_).lease_owner, archive.exists()) == ("another:1", True)
    assert files_below(tmp_path / "data" / "superlms") == []
    monkeypatch.setattr(register, "unpack", unpack)
    with workshop.sessions.begin() as session:  # the other one dies, too, and it was the last try
        assert registrations.recover(session, 2, dead_owner="another:1") == []
    row = row_of(workshop.sessions, id_)
    assert row.problem is not None
    assert (row.state, row.problem["type"]) == ("failed", "attempts-exhausted")


def test_a_message_redelivered_after_a_childs_death_is_done_at_once(
    workshop: Workshop, intake: Intake, tmp_path: Path
) -> None:
    id_ = ask(workshop.sessions, path=str(variant(tmp_path / "bundle", "again")))
    gone = 2**22 + 1  # above the largest process id of Linux
    dead = f"{this_owner().rpartition(':')[0]}:{gone}"
    with workshop.sessions.begin() as session:
        assert registrations.claim(session, id_, dead, LEASE)
    run_registration(workshop, intake, id_)
    row = row_of(workshop.sessions, id_)
    assert (row.state, row.attempts) == ("ready", 2)


def test_a_registration_whose_worker_is_killed_is_done_once_by_the_next(
    stack: Stack, tmp_path: Path
) -> None:
    content = packed(variant(tmp_path / "bundle", "survivor"))
    accepted = stack.http.post(UPLOAD_PATH, content=content, headers=repr_digest(content))
    assert accepted.status_code == 202, accepted.text
    id_ = accepted.json()["id"]
    deadline = time.monotonic() + 30
    while (row := row_of(stack.sessions, id_)).lease_owner is None:
        assert time.monotonic() < deadline
        assert row.finished_at is None, "ended before it could be caught"
        time.sleep(0.001)
    os.kill(int(row.lease_owner.rpartition(":")[2]), signal.SIGKILL)
    done = stack.wait_registration(accepted.headers["location"])
    assert (done["state"], done["attempts"]) == ("ready", 2), done["problem"]
    assert files_below(stack.settings.superlms_dir / "survivor@1") != []
    assert [p.name for p in stack.settings.superlms_dir.glob("*survivor*")] == ["survivor@1"]
    entries = stack.http.get("/v1/admin/audit?action=superlm.ready").json()["items"]
    assert [entry["subject"] for entry in entries].count("survivor@1") == 1
