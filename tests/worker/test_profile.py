"""A worker profiles its device, and then keeps latency limits on it: all measured for real."""

import dataclasses
import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from sqlalchemy import select, update

from autodistil.extraction.receipt import Receipt
from autodistil.latency.device_profile import DeviceProfile, ProfilingRequest
from database import devices, extractions, superlms
from database.session import migrate, open_engine, reading, session_factory
from database.tables import DeviceRow, EventRow, ExtractionRow
from models_store.artifacts import FolderStore
from tests.factories import shipped_narrow
from worker import profile as profile_module
from worker.entry import register_bundle
from worker.extract import run_extraction
from worker.lease import this_owner
from worker.profile import run_profiling
from worker.workshop import Workshop

LEASE = datetime.timedelta(seconds=30)
SHORT: dict[str, Any] = {"sequence_length": 8, "threads": 1}
QUICK: dict[str, Any] = {
    "conditions": [SHORT],
    "students": 6,
    "effort": {"rounds": 2, "runs": 2, "warm_up": 1},
}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def workshop(empty_database: str, tmp_path: Path) -> Iterator[Workshop]:
    """A worker on the device `here`, with the shipped SuperLM registered."""
    migrate(empty_database)
    engine = open_engine(empty_database)
    sessions = session_factory(engine)
    with sessions.begin() as session:
        register_bundle(session, shipped_narrow(), tmp_path / "superlms")
    store = FolderStore(tmp_path / "artifacts")
    yield Workshop(sessions, store, tmp_path / "scratch", LEASE, max_attempts=2, device="here")
    engine.dispose()


def ask(workshop: Workshop, device: str = "here", **request: Any) -> None:
    asked = ProfilingRequest.model_validate({**QUICK, **request}).model_dump(mode="json")
    with workshop.sessions.begin() as session:
        devices.request_profiling(session, device, asked)


def row_of(workshop: Workshop, device: str = "here") -> DeviceRow:
    with reading(workshop.sessions) as session:
        return devices.get(session, device)


def extract(workshop: Workshop, **latency: Any) -> ExtractionRow:
    limit = {"device": "here", **SHORT, **latency}
    request = {"teacher": "all-MiniLM-L6-v2", "budget": {"latency": limit}}
    with workshop.sessions.begin() as session:
        ids = superlms.pin(session, superlms.list_newest(session))
        job = extractions.create(session, request, None, superlm_ids=ids).id
    run_extraction(workshop, job)
    with reading(workshop.sessions) as session:
        return extractions.get(session, job)


def test_a_device_is_profiled_and_its_students_are_measured_before_they_go_out(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile_module, "_REPORT_SECONDS", 0.0)
    ask(workshop)
    run_profiling(workshop, "here")
    row = row_of(workshop)
    assert (row.state, row.percent, row.attempts, row.lease_owner) == ("ready", 100, 1, None)
    profile = DeviceProfile.model_validate(row.profile)
    assert profile.name == "here"
    (known,) = profile.profiled
    assert len(known.samples) == 6
    run_profiling(workshop, "here")  # the same message once more
    assert row_of(workshop).attempts == 1

    done = extract(workshop, ms=1e5)
    assert done.state == "succeeded", done.problem
    receipt = Receipt.model_validate(done.receipt)
    assert receipt.latency is not None
    assert receipt.latency.measured is not None
    assert receipt.latency.measured.p90_ms <= receipt.latency.limit_ms == 1e5
    assert receipt.latency.conditions == known.conditions
    assert receipt.latency.missed == ()
    assert done.choice is not None
    assert done.choice["latency_ms"] == receipt.latency.predicted_ms

    # A limit that students keep by their predictions alone, whatever this machine is doing now.
    with workshop.sessions.begin() as session:
        quick = profile.slowed(known.conditions, 1e-6).model_dump(mode="json")
        session.execute(update(DeviceRow).values(profile=quick))
    late = extract(workshop, ms=0.01)
    assert (late.state, late.artifacts) == ("failed", [])
    assert late.problem is not None
    assert late.problem["type"] == "latency-missed"
    assert late.problem["missed"][0]["measured"]["p90_ms"] > 0.01
    with reading(workshop.sessions) as session:
        events = select(EventRow).where(EventRow.extraction_id == late.id).order_by(EventRow.id)
        kinds = [event.kind for event in session.scalars(events)]
    assert kinds[-2:] == ["missed", "failed"]


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"conditions": [{"sequence_length": 513}]}, "513 tokens are more than the 512 positions"),
        ({"more": 1}, "failed unexpectedly"),
    ],
)
def test_a_profiling_that_cannot_be_done_ends_with_a_problem(
    workshop: Workshop, request_: dict[str, Any], reason: str
) -> None:
    with workshop.sessions.begin() as session:
        devices.request_profiling(session, "here", {**QUICK, **request_})
    run_profiling(workshop, "here")
    row = row_of(workshop)
    assert (row.state, row.profile) == ("failed", None)
    assert row.problem is not None
    assert reason in row.problem["detail"]


def test_work_for_another_device_is_not_done_here(workshop: Workshop) -> None:
    ask(workshop, "there")
    run_profiling(workshop, "there")
    row = row_of(workshop, "there")
    assert row.state == "failed"
    assert row.problem is not None
    assert "'there' reached a worker on 'here'" in row.problem["detail"]
    nowhere = dataclasses.replace(workshop, device=None)
    done = extract(nowhere, ms=5)
    assert done.state == "failed"
    assert done.problem is not None
    assert "'here' reached a worker on None" in done.problem["detail"]


def test_a_profiling_that_is_gone_or_asked_for_anew_changes_nothing(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_profiling(workshop, "here")  # never asked for
    ask(workshop)

    def ask_again(*_: Any, **__: Any) -> None:
        ask(workshop, students=7)

    monkeypatch.setattr(devices, "report", ask_again)
    monkeypatch.setattr(profile_module, "_REPORT_SECONDS", 0.0)
    run_profiling(workshop, "here")
    row = row_of(workshop)
    assert (row.state, row.profile, row.request["students"]) == ("queued", None, 7)


def test_a_message_redelivered_after_a_childs_death_is_done_at_once(workshop: Workshop) -> None:
    ask(workshop)
    gone = 2**22 + 1  # above the largest process id of Linux
    dead = f"{this_owner().rpartition(':')[0]}:{gone}"
    with workshop.sessions.begin() as session:
        assert devices.claim(session, "here", dead, LEASE)
    run_profiling(workshop, "here")
    assert (row_of(workshop).state, row_of(workshop).attempts) == ("ready", 2)
