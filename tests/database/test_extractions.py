import datetime
import threading
import time
import uuid

import pytest

from autodistil.errors import AutoDistilError
from database import extractions
from database.errors import Canceled, Conflict, LeaseLost, NotFound
from database.session import SessionFactory, reading
from database.tables import ArtifactRow, ExtractionRow, State, new_id, utc_now

LEASE = datetime.timedelta(seconds=30)
OVER = datetime.timedelta(seconds=-1)


def create(sessions: SessionFactory) -> str:
    with sessions.begin() as session:
        return extractions.create(session, {"budget": {"macs": 1}}, None).id


def claim(
    sessions: SessionFactory, job: str, owner: str = "a:1", lease: datetime.timedelta = LEASE
) -> bool:
    with sessions.begin() as session:
        return extractions.claim(session, job, owner, lease) is not None


def state_of(sessions: SessionFactory, job: str) -> str:
    with reading(sessions) as session:
        return extractions.get(session, job).state


def events_of(sessions: SessionFactory, job: str) -> list[str]:
    with reading(sessions) as session:
        return [event.kind for event in extractions.get(session, job).events]


def test_of_many_workers_one_claims_the_job(sessions: SessionFactory) -> None:
    job = create(sessions)
    barrier, won = threading.Barrier(6), []

    def race(number: int) -> None:
        barrier.wait()
        if claim(sessions, job, f"host:{number}"):
            won.append(number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert events_of(sessions, job) == ["queued", "searching"]


def test_a_job_goes_from_queued_to_succeeded_with_an_event_each(sessions: SessionFactory) -> None:
    job = create(sessions)
    assert claim(sessions, job)
    for state in (State.SLICING, State.EXPORTING, State.VERIFYING):
        with sessions.begin() as session:
            extractions.advance(session, job, "a:1", state)
    artifact = ArtifactRow(
        extraction_id=job, name="x", format="transformers", sha256="0" * 64, size_bytes=1 << 40
    )
    with sessions.begin() as session:
        extractions.succeed(session, job, "a:1", {"receipt": 1}, [artifact])
    wanted = ["queued", "searching", "slicing", "exporting", "verifying", "succeeded"]
    assert events_of(sessions, job) == wanted
    with reading(sessions) as session:
        row = extractions.get(session, job)
        assert (row.receipt, row.lease_owner, row.artifacts[0].size_bytes) == (
            {"receipt": 1},
            None,
            1 << 40,
        )
        assert row.finished_at is not None
        assert row.finished_at.tzinfo is not None


def test_whoever_lost_the_lease_changes_nothing(sessions: SessionFactory) -> None:
    job = create(sessions)
    claim(sessions, job, "a:1", OVER)
    with sessions.begin() as session:
        assert extractions.recover(session, max_attempts=3) == [job]
    assert claim(sessions, job, "b:2")
    changes = (
        lambda s: extractions.advance(s, job, "a:1", State.SLICING),
        lambda s: extractions.renew(s, job, "a:1", LEASE),
        lambda s: extractions.succeed(s, job, "a:1", {}, []),
        lambda s: extractions.fail(s, job, "a:1", AutoDistilError("x")),
        lambda s: extractions.choose(s, job, "a:1", None, {}),
    )
    for change in changes:
        with pytest.raises(LeaseLost), sessions.begin() as session:
            change(session)
    with reading(sessions) as session:
        row = extractions.get(session, job)
        assert (row.state, row.lease_owner, row.attempts) == ("searching", "b:2", 2)


def test_a_renewed_lease_is_not_taken_away(sessions: SessionFactory) -> None:
    job = create(sessions)
    claim(sessions, job, "a:1", OVER)
    with sessions.begin() as session:
        extractions.renew(session, job, "a:1", LEASE)
    with sessions.begin() as session:
        assert extractions.recover(session, max_attempts=3) == []
    assert state_of(sessions, job) == "searching"


def test_a_job_that_was_tried_too_often_fails(sessions: SessionFactory) -> None:
    job = create(sessions)
    for _ in range(2):
        claim(sessions, job, "a:1", OVER)
        with sessions.begin() as session:
            extractions.recover(session, max_attempts=2)
    with reading(sessions) as session:
        row = extractions.get(session, job)
        assert row.state == "failed"
        assert row.problem is not None
        assert row.problem["type"] == "attempts-exhausted"


def test_the_jobs_of_a_dead_owner_are_freed_before_their_lease_ends(
    sessions: SessionFactory,
) -> None:
    dead, living = create(sessions), create(sessions)
    claim(sessions, dead, "a:1")
    claim(sessions, living, "b:2")
    with sessions.begin() as session:
        assert extractions.recover(session, 3, dead_owner="a:1") == [dead]
    assert state_of(sessions, living) == "searching"


def test_cancel_ends_a_queued_job_and_stops_a_working_one(sessions: SessionFactory) -> None:
    queued, working, ended = create(sessions), create(sessions), create(sessions)
    claim(sessions, working)
    claim(sessions, ended)
    with sessions.begin() as session:
        extractions.fail(session, ended, "a:1", AutoDistilError("x"))
    with sessions.begin() as session:
        assert extractions.request_cancel(session, queued).state == "canceled"
        assert extractions.request_cancel(session, working).state == "canceling"
        assert extractions.request_cancel(session, working).state == "canceling"
    with pytest.raises(Canceled), sessions.begin() as session:
        extractions.advance(session, working, "a:1", State.SLICING)
    with sessions.begin() as session:
        extractions.finish_cancel(session, working, "a:1")
    assert state_of(sessions, working) == "canceled"
    assert not claim(sessions, queued)
    with pytest.raises(Conflict), sessions.begin() as session:
        extractions.request_cancel(session, ended)
    with pytest.raises(NotFound), sessions.begin() as session:
        extractions.request_cancel(session, new_id())


def test_a_job_being_canceled_by_a_worker_that_died_is_canceled(sessions: SessionFactory) -> None:
    job = create(sessions)
    claim(sessions, job, "a:1", OVER)
    with sessions.begin() as session:
        extractions.request_cancel(session, job)
    with sessions.begin() as session:
        assert extractions.recover(session, max_attempts=3) == []
    assert state_of(sessions, job) == "canceled"


def test_queued_jobs_without_a_recent_message_are_found(sessions: SessionFactory) -> None:
    fresh, old, never = create(sessions), create(sessions), create(sessions)
    with sessions.begin() as session:
        for job in (fresh, old):
            extractions.mark_sent(session, job)
        row = session.get(ExtractionRow, old)
        assert row is not None
        row.sent_at = utc_now() - datetime.timedelta(minutes=5)
    with reading(sessions) as session:
        assert extractions.unsent(session, datetime.timedelta(minutes=1)) == [old, never]


def test_ids_are_uuids_of_version_7_that_sort_by_time() -> None:
    made = []
    for _ in range(3):
        made.append(new_id())
        time.sleep(0.002)
    assert made == sorted(made)
    assert {uuid.UUID(text).version for text in made} == {7}
    assert {uuid.UUID(text).variant for text in made} == {uuid.RFC_4122}
