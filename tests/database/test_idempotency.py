import datetime
import threading

import pytest

from database import api_keys, extractions, idempotency
from database.errors import IdempotencyKeyReused
from database.idempotency import Remembered
from database.session import SessionFactory, reading
from database.tables import IdempotencyRow


@pytest.fixture
def request_of_a_key(sessions: SessionFactory) -> Remembered:
    with sessions.begin() as session:
        row, _ = api_keys.create_key(session, "somebody", ["extract"])
    return Remembered(row.id, "once", "a" * 64)


def make(sessions: SessionFactory, request: Remembered) -> str:
    """What the service does with a request."""
    with sessions.begin() as session:
        if not idempotency.reserve(session, request):
            found = idempotency.find(session, request)
            assert found is not None
            return found
        job = extractions.create(session, {"budget": {"macs": 1}}, request.api_key_id).id
        idempotency.fill(session, request, job)
        return job


def test_of_many_requests_at_once_one_makes_the_job(
    sessions: SessionFactory, request_of_a_key: Remembered
) -> None:
    barrier, jobs = threading.Barrier(12), []

    def run() -> None:
        barrier.wait()
        jobs.append(make(sessions, request_of_a_key))

    threads = [threading.Thread(target=run) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(jobs) == 12
    assert len(set(jobs)) == 1


def test_a_key_whose_transaction_failed_is_free(
    sessions: SessionFactory, request_of_a_key: Remembered
) -> None:
    with pytest.raises(ZeroDivisionError), sessions.begin() as session:
        assert idempotency.reserve(session, request_of_a_key)
        raise ZeroDivisionError
    with sessions.begin() as session:
        assert idempotency.find(session, request_of_a_key) is None
        assert idempotency.reserve(session, request_of_a_key)


def test_another_request_with_the_same_key_is_refused_and_another_caller_is_not(
    sessions: SessionFactory, request_of_a_key: Remembered
) -> None:
    job = make(sessions, request_of_a_key)
    with sessions.begin() as session:
        other, _ = api_keys.create_key(session, "another", ["extract"])
    assert make(sessions, Remembered(other.id, "once", "b" * 64)) != job
    with pytest.raises(IdempotencyKeyReused), reading(sessions) as session:
        idempotency.find(session, Remembered(request_of_a_key.api_key_id, "once", "b" * 64))


def test_keys_are_forgotten_after_their_time(
    sessions: SessionFactory, request_of_a_key: Remembered
) -> None:
    make(sessions, request_of_a_key)
    day = datetime.timedelta(days=1)
    with sessions.begin() as session:
        idempotency.expire(session, day)
        assert idempotency.find(session, request_of_a_key) is not None
        session.query(IdempotencyRow).one().created_at -= day
    with sessions.begin() as session:
        idempotency.expire(session, day)
        assert idempotency.find(session, request_of_a_key) is None
