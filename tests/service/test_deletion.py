"""Deletion of artifacts: what goes, and what stays because somebody needs it."""

import datetime
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from database import artifacts, extractions
from database.errors import Conflict, NotFound
from database.session import SessionFactory, reading
from database.tables import ArtifactRow, ExtractionRow, State, utc_now
from models_store.artifacts import FolderStore
from models_store.texts import put_text
from service.retention import delete_files, delete_outdated, remove_orphans, tidy
from tests.stack import Stack

LEASE = datetime.timedelta(seconds=30)
LONG_AGO = datetime.timedelta(days=31)


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "artifacts")


def put(store: FolderStore, folder: Path, content: bytes) -> str:
    source = folder / "source"
    source.write_bytes(content)
    return store.put(source).sha256


def add(
    sessions: SessionFactory, *hashes: str, ended: datetime.timedelta = datetime.timedelta(0)
) -> str:
    """An extraction that succeeded a while ago with files of some hashes."""
    with sessions.begin() as session:
        job = extractions.create(session, {"budget": {"macs": 1}}, None).id
        extractions.claim(session, job, "a:1", LEASE)
        files = [
            ArtifactRow(
                extraction_id=job, name=f"f{number}", format="x", sha256=sha256, size_bytes=1
            )
            for number, sha256 in enumerate(hashes)
        ]
        extractions.succeed(session, job, "a:1", {}, files)
        query = update(ExtractionRow).where(ExtractionRow.id == job)
        session.execute(query.values(finished_at=utc_now() - ended))
    return job


def delete(sessions: SessionFactory, store: FolderStore, job: str) -> None:
    with sessions.begin() as session:
        freed = artifacts.delete(session, job)
    delete_files(sessions, store, freed)


def test_a_shared_file_goes_with_the_last_who_shares_it(
    sessions: SessionFactory, store: FolderStore, tmp_path: Path
) -> None:
    shared, own = put(store, tmp_path, b"shared"), put(store, tmp_path, b"own")
    first, second = add(sessions, shared, own), add(sessions, shared)
    delete(sessions, store, first)
    assert not store.path(own).exists()
    assert store.path(shared).read_bytes() == b"shared"
    delete(sessions, store, first)  # again changes nothing
    assert store.path(shared).exists()
    delete(sessions, store, second)
    assert not store.path(shared).exists()
    with reading(sessions) as session:
        row = extractions.get(session, first)
        assert (row.state, row.artifacts, row.receipt) == (State.SUCCEEDED, [], {})
        assert row.deleted_at is not None
        assert artifacts.find(session, first, "f0") is None
    assert put(store, tmp_path, b"shared") == shared
    assert store.path(shared).read_bytes() == b"shared"


def test_what_has_not_ended_or_is_not_there_cannot_be_deleted(sessions: SessionFactory) -> None:
    with sessions.begin() as session:
        job = extractions.create(session, {"budget": {"macs": 1}}, None).id
    for state in (State.QUEUED, State.SEARCHING, State.CANCELING):
        with sessions.begin() as session:
            query = update(ExtractionRow).where(ExtractionRow.id == job)
            session.execute(query.values(state=state))
        with pytest.raises(Conflict, match="Cancel it first"), sessions.begin() as session:
            artifacts.delete(session, job)
    with pytest.raises(NotFound), sessions.begin() as session:
        artifacts.delete(session, "0" * 36)


def test_a_file_stays_that_a_worker_is_adding_a_row_about(
    sessions: SessionFactory, store: FolderStore, tmp_path: Path
) -> None:
    sha256 = put(store, tmp_path, b"shared")
    old = add(sessions, sha256)
    with sessions.begin() as session:
        freed = artifacts.delete(session, old)
    # Between the commit of the deletion and the removal of the file, another job ends with it.
    with sessions.begin() as session:
        artifacts.lock(session, [sha256])
        assert store.path(sha256).is_file()
        job = extractions.create(session, {"budget": {"macs": 1}}, None).id
        file = ArtifactRow(extraction_id=job, name="f", format="x", sha256=sha256, size_bytes=1)
        session.add(file)
        session.flush()
        remover = threading.Thread(target=delete_files, args=(sessions, store, freed))
        remover.start()
        time.sleep(0.3)
        assert remover.is_alive()  # it waits for the lock
        assert store.path(sha256).is_file()
    remover.join()
    assert store.path(sha256).is_file()
    with reading(sessions) as session:
        query = select(ArtifactRow.extraction_id).where(ArtifactRow.sha256 == sha256)
        assert session.scalars(query).all() == [job]


def test_of_jobs_that_come_and_go_at_once_none_loses_its_file(
    sessions: SessionFactory, store: FolderStore, tmp_path: Path
) -> None:
    """As workers do it: put, lock, put again if it went meanwhile, commit."""
    wrong: list[Any] = []

    def live(number: int) -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        for _ in range(8):
            sha256 = put(store, folder, b"the same of all")
            with sessions.begin() as session:
                artifacts.lock(session, [sha256])
                if not store.path(sha256).is_file():
                    store.put(folder / "source")
                job = extractions.create(session, {"budget": {"macs": 1}}, None)
                job.state = State.SUCCEEDED
                session.add(
                    ArtifactRow(
                        extraction_id=job.id, name="f", format="x", sha256=sha256, size_bytes=1
                    )
                )
            try:
                assert store.path(sha256).read_bytes() == b"the same of all"
            except (OSError, AssertionError) as error:
                wrong.append(error)
            delete(sessions, store, job.id)

    threads = [threading.Thread(target=live, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert not [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()]


def test_artifacts_go_when_their_time_is_over(
    sessions: SessionFactory, store: FolderStore, tmp_path: Path
) -> None:
    hashes = [put(store, tmp_path, bytes([number])) for number in range(60)]
    outdated = [add(sessions, sha256, ended=LONG_AGO) for sha256 in hashes]
    fresh_hash = put(store, tmp_path, b"fresh")
    fresh = add(sessions, fresh_hash)
    assert delete_outdated(sessions, store, 0) == []  # for ever
    assert delete_outdated(sessions, store, 32) == []
    assert delete_outdated(sessions, store, 30) == outdated[:50]  # some at a time
    assert delete_outdated(sessions, store, 30) == outdated[50:]
    assert delete_outdated(sessions, store, 30) == []
    assert [sha256 for sha256 in hashes if store.path(sha256).exists()] == []
    assert store.path(fresh_hash).exists()
    with reading(sessions) as session:
        assert extractions.get(session, outdated[0]).deleted_at is not None
        assert extractions.get(session, fresh).deleted_at is None


def test_old_files_that_nothing_is_about_go(
    sessions: SessionFactory, store: FolderStore, tmp_path: Path
) -> None:
    age = datetime.timedelta(days=1)
    orphan, new, owned = (put(store, tmp_path, name) for name in (b"orphan", b"new", b"owned"))
    text, ended_text = put_text(store, ["to be read"]), put_text(store, ["was read"])
    add(sessions, owned)
    with sessions.begin() as session:
        for sha256, state in ((text, State.QUEUED), (ended_text, State.FAILED)):
            request = {"budget": {"macs": 1}, "text": {"sha256": sha256}}
            extractions.create(session, request, None).state = state
    killed = store.path(orphan).with_name(".half-put")
    killed.write_bytes(b"or")
    long_ago = time.time() - 2 * age.total_seconds()
    for path in (*map(store.path, (orphan, owned, text, ended_text)), killed):
        os.utime(path, (long_ago, long_ago))
    gone = [found for shard in store.shards() for found in remove_orphans(sessions, store, shard)]
    assert sorted(gone) == sorted([orphan, ended_text])
    assert not killed.exists()
    left = {path.name for path in (tmp_path / "artifacts").rglob("*") if path.is_file()}
    assert left == {new, owned, text}
    # What is put again counts as new.
    os.utime(store.path(new), (long_ago, long_ago))
    put(store, tmp_path, b"new")
    assert remove_orphans(sessions, store, new[:2]) == []


def test_a_store_that_cannot_be_read_is_no_end_of_the_sweeper(
    sessions: SessionFactory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sha256 = "ab" * 32
    job = add(sessions, sha256, ended=LONG_AGO)
    for number in range(256):  # files where folders should be
        (tmp_path / f"{number:02x}").touch()
    tidy(sessions, FolderStore(tmp_path), 30)
    with reading(sessions) as session:
        assert extractions.get(session, job).artifacts == []
    assert "cannot be removed" in caplog.text


def test_a_deleted_student_is_gone_and_can_be_asked_for_again(stack: Stack) -> None:
    budget = {"macs": "220M"}  # a student that no other test asks for
    done = stack.wait(stack.ask(budget)["id"])
    shared = stack.ask(budget)
    assert shared["state"] == "succeeded"
    address, (artifact,) = f"/v1/extractions/{done['id']}", done["artifacts"]
    path = FolderStore(stack.settings.artifacts_dir).path(artifact["sha256"])

    deleted = [stack.http.delete(f"{address}/artifacts") for _ in range(2)]
    assert [(answer.status_code, answer.content) for answer in deleted] == [(204, b"")] * 2
    for method in ("GET", "HEAD"):
        gone = stack.http.request(method, artifact["url"])
        assert gone.status_code == 410
    assert stack.http.get(artifact["url"]).json()["type"].endswith("/artifact-gone")
    after = stack.http.get(address).json()
    assert (after["state"], after["artifacts"]) == ("succeeded", [])
    assert after["receipt"] == done["receipt"]
    assert after["deleted_at"]
    # The other job has it still, until it is deleted, too.
    assert stack.http.get(shared["artifacts"][0]["url"]).status_code == 200
    assert stack.http.delete(f"/v1/extractions/{shared['id']}/artifacts").status_code == 204
    assert not path.exists()

    again = stack.wait(stack.ask(budget)["id"])
    assert again["artifacts"][0]["sha256"] == artifact["sha256"]
    assert stack.http.get(again["artifacts"][0]["url"]).status_code == 200


def test_only_what_has_ended_can_be_deleted(stack: Stack) -> None:
    busy = stack.ask({"macs": "95M"})
    address = f"/v1/extractions/{busy['id']}"
    with stack.stopped_worker(busy["id"]):
        refused = stack.http.delete(f"{address}/artifacts")
        assert refused.status_code == 409
        assert "Cancel it first" in refused.json()["detail"]
        assert stack.http.post(f"{address}/cancel").status_code == 202
    stack.wait(busy["id"])
    assert stack.http.delete(f"{address}/artifacts").status_code == 204
    nobody = "/v1/extractions/00000000-0000-0000-0000-000000000000"
    assert stack.http.delete(f"{nobody}/artifacts").status_code == 404
    # The job itself stays readable, and is no thing to delete.
    assert stack.http.delete(address).status_code == 405
    assert stack.http.get(address).status_code == 200


def test_a_download_under_way_ends_well_though_the_file_is_deleted(stack: Stack) -> None:
    done = stack.wait(stack.ask({"macs": "34300000"})["id"])
    (artifact,) = done["artifacts"]
    with stack.http.stream("GET", artifact["url"]) as stream:
        chunks = stream.iter_raw(65536)
        arrived = len(next(chunks))
        assert stack.http.delete(artifact["url"].rpartition("/")[0]).status_code == 204
        arrived += sum(map(len, chunks))
    assert arrived == artifact["size_bytes"]
