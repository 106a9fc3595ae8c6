"""Events of an extraction: streamed, resumed, bounded."""

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent, connect_sse

from database import extractions
from database.tables import State
from tests.service.conftest import Alone, running_alone, served

JSON = {"Accept": "application/json"}
WORK = (State.SLICING, State.EXPORTING, State.VERIFYING)
KINDS = ["queued", "searching", "slicing", "exporting", "verifying", "failed"]
COUNT = itertools.count(50_000_000)


@pytest.fixture
def job(alone: Alone) -> str:
    """A queued extraction that nobody else asks for."""
    return alone.ask(next(COUNT))


def stream(alone: Alone, job: str, last: str | None = None) -> Iterator[ServerSentEvent]:
    headers = {} if last is None else {"Last-Event-ID": last}
    path = f"/v1/extractions/{job}/events"
    with connect_sse(alone.http, "GET", path, headers=headers) as source:
        assert source.response.status_code == 200
        yield from source.iter_sse()


def work(alone: Alone, job: str) -> None:
    alone.claim(job)
    for state in WORK:
        alone.advance(job, state)
        time.sleep(0.05)
    alone.fail(job)


def test_events_arrive_in_order_while_they_happen_and_end_with_the_job(
    alone: Alone, job: str
) -> None:
    thread = threading.Thread(target=work, args=(alone, job))
    arrived = []
    for event in stream(alone, job):
        if not arrived:
            thread.start()
        arrived.append(event)
    thread.join()
    assert [event.event for event in arrived] == KINDS
    ids = [int(event.id) for event in arrived]
    assert ids == sorted(set(ids))
    data: list[dict[str, Any]] = [event.json() for event in arrived]
    assert [entry["id"] for entry in data] == ids
    assert [entry["kind"] for entry in data] == [entry["state"] for entry in data] == KINDS
    assert [entry["percent"] for entry in data] == sorted(entry["percent"] for entry in data)
    assert data[1]["attempt"] == 1
    assert data[-1]["problem"] == "internal-error"


def test_a_stream_is_resumed_after_any_event(alone: Alone, job: str) -> None:
    work(alone, job)
    ids = [event.id for event in stream(alone, job)]
    for position, last in enumerate(ids):
        assert [event.id for event in stream(alone, job, last)] == ids[position + 1 :]
    listed = alone.http.get(
        f"/v1/extractions/{job}/events", headers={**JSON, "Last-Event-ID": ids[3]}
    )
    assert [str(event["id"]) for event in listed.json()["items"]] == ids[4:]


def test_events_are_also_a_list(alone: Alone, job: str) -> None:
    alone.claim(job)
    with alone.sessions.begin() as session:
        extractions.note_miss(session, job, {"superlm": "x@1", "predicted_ms": 2.5})
    answer = alone.http.get(f"/v1/extractions/{job}/events", headers=JSON)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["next_cursor"] is None
    queued, _, missed = answer.json()["items"]
    assert set(queued) == {"id", "kind", "at", "state", "percent"}
    assert (missed["kind"], missed["state"], missed["predicted_ms"]) == ("missed", "searching", 2.5)


def test_a_stream_says_now_and_then_that_it_lives_and_ends_after_a_while(
    alone: Alone, job: str
) -> None:
    times = {"event_heartbeat_seconds": 0.2, "event_stream_seconds": 1.5}
    url = f"/v1/extractions/{job}/events"
    with (
        served(alone.settings.model_copy(update=times)) as (base_url, _),
        httpx.Client(base_url=base_url, headers=alone.headers) as http,
    ):
        start = time.monotonic()
        with http.stream("GET", url) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["cache-control"] == "no-store"
            lines = list(answer.iter_lines())
        assert 1.4 < time.monotonic() - start < 3.5
    assert lines.count(": still here") >= 4
    assert sum(line.startswith("event:") for line in lines) == 1


@pytest.mark.parametrize(
    ("headers", "path", "status"),
    [
        ({"Last-Event-ID": "x"}, "{job}", 422),
        ({"Last-Event-ID": "-1"}, "{job}", 422),
        ({"Last-Event-ID": "9" * 19}, "{job}", 422),
        ({}, "00000000-0000-0000-0000-000000000000", 404),
        ({}, "x", 422),
        ({"Authorization": "Bearer x"}, "{job}", 401),
    ],
)
def test_a_stream_that_cannot_be_is_a_problem(
    alone: Alone, job: str, headers: dict[str, str], path: str, status: int
) -> None:
    url = f"/v1/extractions/{path.format(job=job)}/events"
    answer = alone.http.get(url, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_many_open_streams_hold_no_database_connection(alone: Alone, job: str) -> None:
    open_streams = threading.Barrier(41)
    kinds: list[list[str]] = []

    def follow() -> None:
        heard = []
        with (
            httpx.Client(base_url=alone.url, headers=alone.headers, timeout=30) as http,
            connect_sse(http, "GET", f"/v1/extractions/{job}/events") as source,
        ):
            for event in source.iter_sse():
                if not heard:
                    open_streams.wait(20)
                heard.append(event.event)
        kinds.append(heard)

    threads = [threading.Thread(target=follow) for _ in range(40)]
    for thread in threads:
        thread.start()
    open_streams.wait(20)
    start = time.monotonic()
    assert alone.http.get(f"/v1/extractions/{job}").status_code == 200
    assert time.monotonic() - start < 1
    alone.claim(job)
    alone.fail(job)
    for thread in threads:
        thread.join()
    assert kinds == [["queued", "searching", "failed"]] * 40


def test_a_server_that_is_told_to_stop_lets_those_who_wait_go_at_once(
    tmp_path: Path, broker_url: str
) -> None:
    with running_alone(tmp_path, f"{broker_url}/8") as alone:
        job = alone.ask(50_000_000)
        answers: list[httpx.Response] = []

        def wait() -> None:
            headers = {**alone.headers, "Prefer": "wait=60"}
            url = f"{alone.url}/v1/extractions/{job}"
            answers.append(httpx.get(url, headers=headers, timeout=30))

        waiting = threading.Thread(target=wait)
        waiting.start()
        events = stream(alone, job)
        assert next(events).event == "queued"
        time.sleep(0.5)  # until the other waits, too
        start = time.monotonic()
        alone.terminate()
        assert list(events) == []
        waiting.join()
        assert time.monotonic() - start < 3
        assert (answers[0].status_code, answers[0].json()["state"]) == (200, "queued")
