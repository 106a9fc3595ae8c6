"""Extractions with one fingerprint: one leads, the others follow, and all end."""

import datetime
import threading
from collections.abc import Callable

import pytest

from autodistil.errors import AutoDistilError
from database import events, extractions, sharing
from database.session import SessionFactory, reading
from database.tables import ArtifactRow, DeliveryRow, ExtractionRow

LEASE = datetime.timedelta(seconds=30)
OVER = datetime.timedelta(seconds=-1)
AT_ONCE = datetime.timedelta(0)
PRINT = "f" * 64
REQUEST = {"budget": {"macs": 1}}
HOOK = {"url": "https://example.com/"}


def ask(
    sessions: SessionFactory, stored: bool = True, webhook: dict[str, str] | None = None
) -> str:
    with sessions.begin() as session:
        row = sharing.create(session, REQUEST, None, PRINT, lambda sha256: stored, webhook)
        return row.id


def claim(sessions: SessionFactory, job: str, lease: datetime.timedelta = LEASE) -> bool:
    with sessions.begin() as session:
        return extractions.claim(session, job, "a:1", lease) is not None


def succeed(sessions: SessionFactory, job: str) -> None:
    file = ArtifactRow(extraction_id=job, name="x", format="y", sha256="0" * 64, size_bytes=7)
    with sessions.begin() as session:
        extractions.choose(session, job, "a:1", None, {"chosen": job})  # type: ignore[arg-type]
        extractions.succeed(session, job, "a:1", {"receipt": job}, [file])


def row_of(sessions: SessionFactory, job: str) -> ExtractionRow:
    with reading(sessions) as session:
        return extractions.get(session, job)


def states(sessions: SessionFactory, *jobs: str) -> list[str]:
    return [row_of(sessions, job).state for job in jobs]


def leaders(sessions: SessionFactory, *jobs: str) -> list[bool]:
    return [row_of(sessions, job).leader_key is not None for job in jobs]


def unsent(sessions: SessionFactory) -> list[str]:
    with reading(sessions) as session:
        return extractions.unsent(session, AT_ONCE)


def test_followers_are_not_worked_on_and_succeed_with_their_leader(
    sessions: SessionFactory,
) -> None:
    first, second, third = (ask(sessions, webhook=HOOK) for _ in range(3))
    assert leaders(sessions, first, second, third) == [True, False, False]
    assert unsent(sessions) == [first]
    assert not claim(sessions, second)
    assert claim(sessions, first)
    succeed(sessions, first)
    for job in (first, second, third):
        row = row_of(sessions, job)
        assert (row.state, row.leader_key) == ("succeeded", None)
        assert (row.choice, row.receipt) == ({"chosen": first}, {"receipt": first})
        assert row.finished_at is not None
        assert [(file.name, file.sha256, file.size_bytes) for file in row.artifacts] == [
            ("x", "0" * 64, 7)
        ]
    with reading(sessions) as session:
        told = [(event.kind, event.data) for event in events.list_of(session, second)]
        assert told == [("queued", {}), ("succeeded", {"shared_with": first})]
        deliveries = session.query(DeliveryRow.extraction_id).all()
        assert sorted(id_ for (id_,) in deliveries) == sorted([first, second, third])


def test_a_known_result_is_given_at_once_while_its_files_are_there(
    sessions: SessionFactory,
) -> None:
    first = ask(sessions)
    claim(sessions, first)
    succeed(sessions, first)
    known = row_of(sessions, ask(sessions))
    assert (known.state, known.receipt, known.attempts) == ("succeeded", {"receipt": first}, 0)
    assert [file.sha256 for file in known.artifacts] == ["0" * 64]
    anew = ask(sessions, stored=False)
    assert (states(sessions, anew), leaders(sessions, anew)) == (["queued"], [True])
    with sessions.begin() as session:
        extractions.request_cancel(session, anew)
        for job in (first, known.id):
            extractions.get(session, job).deleted_at = datetime.datetime.now(datetime.UTC)
    assert states(sessions, ask(sessions)) == ["queued"]


def test_followers_fail_with_the_problem_of_their_leader(sessions: SessionFactory) -> None:
    first, second = ask(sessions), ask(sessions)
    claim(sessions, first)
    with sessions.begin() as session:
        extractions.fail(session, first, "a:1", AutoDistilError("why"))
    assert states(sessions, first, second) == ["failed", "failed"]
    assert row_of(sessions, second).problem == row_of(sessions, first).problem
    third = ask(sessions)  # a failure is not a result to share
    assert (states(sessions, third), leaders(sessions, third)) == (["queued"], [True])


def test_followers_fail_when_their_leader_was_tried_too_often(sessions: SessionFactory) -> None:
    first, second = ask(sessions), ask(sessions)
    for _ in range(2):
        claim(sessions, first, OVER)
        with sessions.begin() as session:
            extractions.recover(session, max_attempts=2)
    assert states(sessions, first, second) == ["failed", "failed"]
    assert (row_of(sessions, second).problem or {})["type"] == "attempts-exhausted"


@pytest.mark.parametrize("working", [False, True], ids=["queued", "working"])
def test_the_oldest_follower_leads_when_its_leader_is_canceled(
    sessions: SessionFactory, working: bool
) -> None:
    first, second, third, fourth = (ask(sessions) for _ in range(4))
    if working:
        claim(sessions, first)
    with sessions.begin() as session:
        extractions.request_cancel(session, second)  # a follower just ends
        extractions.request_cancel(session, first)
        extractions.request_cancel(session, first)  # again, and nothing changes
    assert leaders(sessions, first, second, third, fourth) == [False, False, True, False]
    assert unsent(sessions) == [third]
    if working:
        # The worker's end, whatever it is, is no longer that of the others.
        with sessions.begin() as session:
            extractions.fail(session, first, "a:1", AutoDistilError("late"))
    assert states(sessions, second, third, fourth) == ["canceled", "queued", "queued"]
    claim(sessions, third)
    succeed(sessions, third)
    assert states(sessions, third, fourth) == ["succeeded", "succeeded"]


def test_a_leader_whose_worker_died_leads_on(sessions: SessionFactory) -> None:
    first, second = ask(sessions), ask(sessions)
    claim(sessions, first, OVER)
    with sessions.begin() as session:
        assert extractions.recover(session, max_attempts=3) == [first]
    assert leaders(sessions, first, second) == [True, False]
    assert claim(sessions, first)
    succeed(sessions, first)
    assert states(sessions, second) == ["succeeded"]


def at_once(*actions: Callable[[], object]) -> None:
    barrier = threading.Barrier(len(actions))
    failures: list[Exception] = []

    def run(action: Callable[[], object]) -> None:
        barrier.wait()
        try:
            action()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []


def test_of_many_equal_requests_at_once_one_leads(sessions: SessionFactory) -> None:
    jobs: list[str] = []
    at_once(*[lambda: jobs.append(ask(sessions))] * 12)
    assert sorted(leaders(sessions, *jobs)) == [False] * 11 + [True]
    assert len(unsent(sessions)) == 1


def test_a_request_that_arrives_while_its_leader_ends_is_not_left_behind(
    sessions: SessionFactory,
) -> None:
    for _ in range(8):
        jobs = [ask(sessions, stored=False)]
        claim(sessions, jobs[0])
        asking = [lambda: jobs.append(ask(sessions))] * 4  # noqa: B023 -- run in this turn
        at_once(lambda: succeed(sessions, jobs[0]), *asking)  # noqa: B023
        assert states(sessions, *jobs) == ["succeeded"] * 5
        with sessions.begin() as session:
            for job in jobs:
                extractions.get(session, job).deleted_at = datetime.datetime.now(datetime.UTC)


def test_cancels_of_leader_and_follower_at_once_leave_a_leader(sessions: SessionFactory) -> None:
    def cancel(job: str) -> None:
        with sessions.begin() as session:
            extractions.request_cancel(session, job)

    for _ in range(8):
        first, second, third = (ask(sessions) for _ in range(3))
        at_once(lambda: cancel(first), lambda: cancel(second))  # noqa: B023
        assert states(sessions, first, second, third) == ["canceled", "canceled", "queued"]
        assert leaders(sessions, third) == [True]
        cancel(third)
