"""`Prefer: wait`: answers held until a job has ended."""

import asyncio
import threading
import time
from collections.abc import Callable

import httpx
import pytest

from database.tables import State
from tests.service.conftest import Alone, served, until


def after(seconds: float, action: Callable[[], None]) -> threading.Thread:
    def run() -> None:
        time.sleep(seconds)
        action()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_an_answer_is_held_until_the_job_has_ended(alone: Alone, method: str) -> None:
    macs = 41_000_000 + len(method)
    job = alone.ask(macs)
    alone.claim(job)

    def work() -> None:
        for state in (State.SLICING, State.EXPORTING, State.VERIFYING):
            alone.advance(job, state)
        alone.succeed(job)

    thread = after(0.7, work)
    start = time.monotonic()
    prefer = {"Prefer": "respond-async, wait=20"}
    if method == "POST":  # an equal request, which follows the job
        answer = alone.post(macs, prefer)
    else:
        answer = alone.http.get(f"/v1/extractions/{job}", headers=prefer)
    thread.join()
    assert 0.6 < time.monotonic() - start < 3
    assert (answer.status_code, answer.json()["state"]) == (200, "succeeded")
    assert answer.headers["preference-applied"] == "wait=20"


def test_an_answer_is_given_when_the_time_is_over(alone: Alone) -> None:
    start = time.monotonic()
    answer = alone.post(42_000_000, {"Prefer": "wait=1"})
    assert 1 <= time.monotonic() - start < 3
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    assert answer.headers["preference-applied"] == "wait=1"
    assert answer.headers["location"] == f"/v1/extractions/{answer.json()['id']}"


@pytest.mark.parametrize(
    "prefer",
    ["wait=0", "wait=-1", "wait=x", "wait", "wait=1.5", "await=9", "", "respond-async", "wait=é"],
)
def test_a_preference_that_cannot_be_met_is_ignored(alone: Alone, prefer: str) -> None:
    start = time.monotonic()
    answer = alone.post(42_500_000, {"Prefer": prefer.encode("latin-1")})  # type: ignore[dict-item]
    assert answer.status_code == 202
    assert time.monotonic() - start < 0.9
    assert "preference-applied" not in answer.headers


def test_nobody_waits_longer_than_a_minute_nor_for_what_has_ended(alone: Alone) -> None:
    job = alone.ask(43_000_000)
    alone.claim(job)
    alone.fail(job)
    answer = alone.http.get(f"/v1/extractions/{job}", headers={"Prefer": 'WAIT="3600"; a=b'})
    assert (answer.status_code, answer.json()["state"]) == (200, "failed")
    assert answer.headers["preference-applied"] == "wait=60"


def test_two_hundred_waiting_clients_leave_the_service_quick(alone: Alone) -> None:
    job = alone.ask(44_000_000)
    body = {"teacher": "all-MiniLM-L6-v2", "budget": {"macs": 44_000_000}}
    paths = ["/healthz", f"/v1/extractions/{job}", "/v1/superlms"]

    async def run() -> tuple[list[httpx.Response], dict[str, float]]:
        limits = httpx.Limits(max_connections=250)
        options = {"base_url": alone.url, "headers": alone.headers, "timeout": 30}
        async with httpx.AsyncClient(**options, limits=limits) as http:  # type: ignore[arg-type]
            waiting = [
                asyncio.create_task(
                    http.post("/v1/extractions", json=body, headers={"Prefer": "wait=60"})
                    if number % 2
                    else http.get(f"/v1/extractions/{job}", headers={"Prefer": "wait=60"})
                )
                for number in range(200)
            ]
            await asyncio.sleep(3)  # until all have come that far
            assert not any(task.done() for task in waiting)
            slowest = dict.fromkeys(paths, 0.0)
            for path in paths * 5:
                start = time.monotonic()
                assert (await http.get(path)).status_code == 200
                slowest[path] = max(slowest[path], time.monotonic() - start)
            await asyncio.to_thread(alone.claim, job)
            await asyncio.to_thread(alone.fail, job)
            return await asyncio.gather(*waiting), slowest

    answers, slowest = asyncio.run(run())
    assert max(slowest.values()) < 1, slowest
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["state"] for answer in answers} == {"failed"}
    assert len({answer.json()["id"] for answer in answers}) == 101


@pytest.mark.parametrize("path", ["", "/events"])
def test_a_client_that_goes_away_is_not_waited_for(alone: Alone, path: str) -> None:
    job = alone.ask(45_000_000)
    with served(alone.settings) as (url, watcher):
        client = threading.Thread(
            target=asks_in_vain, args=(f"{url}/v1/extractions/{job}{path}", alone.headers)
        )
        client.start()
        until(lambda: watcher.waiting == 1)
        client.join()
        until(lambda: watcher.waiting == 0)


def asks_in_vain(url: str, headers: dict[str, str]) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(url, headers={**headers, "Prefer": "wait=60"}, timeout=0.5)
