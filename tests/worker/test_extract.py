"""What becomes of an extraction whose work is disturbed, on real databases and a real bundle."""

import datetime
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from autodistil.spaces.spec import FileEntry
from autodistil.superlm.bundle import WEIGHTS
from database import extractions, superlms
from database.session import SessionFactory, migrate, open_engine, reading, session_factory
from database.tables import ExtractionRow, utc_now
from models_store.artifacts import FolderStore
from tests.factories import shipped_narrow
from worker.entry import register_bundle
from worker.extract import Workshop, run_extraction

LEASE = datetime.timedelta(seconds=30)


class DisturbedStore(FolderStore):
    """A store during whose writing something else happens."""

    def __init__(self, root: Path, meanwhile: Callable[[], None]) -> None:
        super().__init__(root)
        self._meanwhile = meanwhile

    def put(self, source: Path) -> FileEntry:
        self._meanwhile()
        return super().put(source)


@pytest.fixture
def workshop(empty_database: str, tmp_path: Path) -> Iterator[Workshop]:
    """A worker's means, with the shipped SuperLM registered."""
    migrate(empty_database)
    engine = open_engine(empty_database)
    sessions = session_factory(engine)
    with sessions.begin() as session:
        register_bundle(session, shipped_narrow(), tmp_path / "superlms")
    store = FolderStore(tmp_path / "artifacts")
    yield Workshop(sessions, store, tmp_path / "scratch", LEASE, max_attempts=2)
    engine.dispose()


@pytest.fixture
def job(workshop: Workshop) -> str:
    """A queued extraction."""
    request = {"teacher": "all-MiniLM-L6-v2", "budget": {"macs": 34_000_000}}
    with workshop.sessions.begin() as session:
        ids = superlms.pin(session, superlms.list_newest(session))
        return extractions.create(session, request, None, superlm_ids=ids).id


def row_of(sessions: SessionFactory, job: str) -> ExtractionRow:
    with reading(sessions) as session:
        return extractions.get(session, job)


def disturbed(workshop: Workshop, root: Path, meanwhile: Callable[[], None]) -> Workshop:
    store = DisturbedStore(root, meanwhile)
    return Workshop(workshop.sessions, store, workshop.scratch, LEASE, workshop.max_attempts)


def test_an_extraction_leaves_its_artifact_and_an_empty_scratch_folder(
    workshop: Workshop, job: str
) -> None:
    run_extraction(workshop, job)
    row = row_of(workshop.sessions, job)
    assert (row.state, row.attempts, row.lease_owner) == ("succeeded", 1, None)
    (artifact,) = row.artifacts
    assert FileEntry.of(workshop.store.path(artifact.sha256)).sha256 == artifact.sha256
    assert list(workshop.scratch.iterdir()) == []
    run_extraction(workshop, job)  # the same message once more
    assert row_of(workshop.sessions, job).attempts == 1


def test_a_cancel_while_the_artifact_is_stored_cancels(
    workshop: Workshop, job: str, tmp_path: Path
) -> None:
    def cancel() -> None:
        with workshop.sessions.begin() as session:
            assert extractions.request_cancel(session, job).state == "canceling"

    run_extraction(disturbed(workshop, tmp_path / "artifacts", cancel), job)
    row = row_of(workshop.sessions, job)
    assert (row.state, row.artifacts, row.receipt) == ("canceled", [], None)
    assert list(workshop.scratch.iterdir()) == []


def test_a_worker_whose_row_was_taken_over_changes_nothing(
    workshop: Workshop, job: str, tmp_path: Path
) -> None:
    def take_over() -> None:
        with workshop.sessions.begin() as session:
            late = utc_now() - datetime.timedelta(seconds=1)
            session.execute(update(ExtractionRow).values(lease_expires_at=late))
            assert extractions.recover(session, max_attempts=2) == [job]
            assert extractions.claim(session, job, "another-host:1", LEASE)

    run_extraction(disturbed(workshop, tmp_path / "artifacts", take_over), job)
    row = row_of(workshop.sessions, job)
    assert (row.state, row.lease_owner, row.attempts) == ("searching", "another-host:1", 2)
    assert row.artifacts == []


def test_a_disk_that_takes_no_artifact_fails_the_job_with_a_problem(
    workshop: Workshop, job: str, tmp_path: Path
) -> None:
    (tmp_path / "artifacts").write_text("a file where the folder should be")
    run_extraction(workshop, job)
    row = row_of(workshop.sessions, job)
    assert row.state == "failed"
    assert row.problem is not None
    assert row.problem["type"] == "internal-error"
    assert "artifacts" in row.problem["detail"]
    assert list(workshop.scratch.iterdir()) == []


def test_a_registered_superlm_whose_weights_are_gone_fails_the_job_with_a_problem(
    workshop: Workshop, job: str, tmp_path: Path
) -> None:
    (tmp_path / "superlms" / "minilm-l6-narrow@1" / WEIGHTS).unlink()
    run_extraction(workshop, job)
    row = row_of(workshop.sessions, job)
    assert row.state == "failed"
    assert row.problem is not None
    assert WEIGHTS in row.problem["detail"]
    assert row.artifacts == []
