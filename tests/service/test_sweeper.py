"""Lost extractions are found, whatever lost them."""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import update

from database import devices, extractions
from database.session import SessionFactory, reading
from database.tables import ExtractionRow, utc_now
from service.sweeper import sweep
from worker.queue import QUEUE, device_queue, make_celery
from worker.settings import Settings

LEASE = datetime.timedelta(seconds=30)
NOBODY = "redis://127.0.0.1:9/0"


@pytest.fixture
def queue(broker_url: str) -> Iterator[Any]:
    """An empty database of the broker that no worker listens to."""
    with redis.Redis.from_url(f"{broker_url}/7") as connection:
        connection.flushdb()
        yield connection
        connection.flushdb()


def create(sessions: SessionFactory) -> str:
    with sessions.begin() as session:
        return extractions.create(session, {"budget": {"macs": 1}}, None).id


def sweep_once(sessions: SessionFactory, folder: Path, broker_url: str, **more: Any) -> list[str]:
    settings = Settings(data_dir=folder, broker_url=broker_url, **more)
    with make_celery(broker_url) as celery:
        return sweep(sessions, celery, settings)


def row_of(sessions: SessionFactory, job: str) -> ExtractionRow:
    with reading(sessions) as session:
        return extractions.get(session, job)


def test_an_expired_lease_of_another_host_is_taken_away_and_sent_again(
    sessions: SessionFactory, queue: Any, broker_url: str, tmp_path: Path
) -> None:
    lost, held = create(sessions), create(sessions)
    with sessions.begin() as session:
        for job in (lost, held):
            extractions.claim(session, job, "a-host-that-burned-down:7", LEASE)
            extractions.mark_sent(session, job)
        late = utc_now() - datetime.timedelta(seconds=1)
        query = update(ExtractionRow).where(ExtractionRow.id == lost)
        session.execute(query.values(lease_expires_at=late))
    assert sweep_once(sessions, tmp_path, f"{broker_url}/7") == [lost]
    assert (row_of(sessions, lost).state, row_of(sessions, held).state) == ("queued", "searching")
    assert queue.llen(QUEUE) == 1
    assert sweep_once(sessions, tmp_path, f"{broker_url}/7") == []
    assert queue.llen(QUEUE) == 1


def test_a_message_that_led_to_nothing_is_sent_again_after_a_while(
    sessions: SessionFactory, queue: Any, broker_url: str, tmp_path: Path
) -> None:
    job = create(sessions)
    assert sweep_once(sessions, tmp_path, f"{broker_url}/7") == [job]
    queue.flushdb()  # the broker lost it
    assert sweep_once(sessions, tmp_path, f"{broker_url}/7") == []
    assert sweep_once(sessions, tmp_path, f"{broker_url}/7", resend_seconds=1e-6) == [job]
    assert queue.llen(QUEUE) == 1


def test_work_for_a_device_is_sent_to_its_own_queue(
    sessions: SessionFactory, queue: Any, broker_url: str, tmp_path: Path
) -> None:
    request = {"budget": {"latency": {"ms": 5.0, "device": "xeon"}}}
    with sessions.begin() as session:
        job = extractions.create(session, request, None).id
        devices.request_profiling(session, "phone", {})
        devices.request_profiling(session, "lost", {})
        devices.claim(session, "lost", "a-host-that-burned-down:7", -LEASE)
    assert sweep_once(sessions, tmp_path, f"{broker_url}/7") == [job, "phone", "lost"]
    assert sweep_once(sessions, tmp_path, f"{broker_url}/7") == []
    queues = (QUEUE, *map(device_queue, ("xeon", "phone", "lost")))
    assert [queue.llen(name) for name in queues] == [0, 1, 1, 1]


def test_without_a_broker_jobs_stay_queued_until_there_is_one(
    sessions: SessionFactory, queue: Any, broker_url: str, tmp_path: Path
) -> None:
    jobs = [create(sessions), create(sessions)]
    assert sweep_once(sessions, tmp_path, NOBODY) == []
    assert [row_of(sessions, job).sent_at for job in jobs] == [None, None]
    assert sweep_once(sessions, tmp_path, f"{broker_url}/7") == jobs
    assert queue.llen(QUEUE) == 2
