"""Connections cut at random: the file is right all the same, and no event is lost or repeated."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest

from client import AsyncClient, Client, Event, RetryPolicy, ServiceUnreachable, Student
from tests.cutting_proxy import cutting
from tests.stack import Stack

PATIENT = RetryPolicy(retries=200, first_pause=0.001, longest_pause=0.01)
KINDS = ["queued", "searching", "slicing", "exporting", "verifying", "succeeded"]


@pytest.fixture(scope="module")
def ended(stack: Stack) -> dict[str, Any]:
    return stack.wait(stack.ask({"macs": "36M"})["id"])


def base_url(stack: Stack) -> str:
    return str(stack.http.base_url)


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("seed", range(3))
def test_a_download_that_is_cut_again_and_again_is_right(
    stack: Stack, ended: dict[str, Any], tmp_path: Path, seed: int
) -> None:
    (artifact,) = ended["artifacts"]
    longest = artifact["size_bytes"] // 10
    seen: list[int] = []
    with (
        cutting(base_url(stack), 100, longest, seed) as proxy,
        Client(proxy.url, stack.key, retries=PATIENT) as client,
    ):
        client.download(artifact, tmp_path / "a", lambda done, total: seen.append(done))
    assert proxy.cuts >= 10
    assert sha256_of(tmp_path / "a") == artifact["sha256"]
    assert seen == sorted(seen)  # nothing is downloaded twice
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("seed", range(3))
def test_an_asynchronous_download_is_right_too(
    stack: Stack, ended: dict[str, Any], tmp_path: Path, seed: int
) -> None:
    (artifact,) = ended["artifacts"]

    async def download(url: str) -> None:
        async with AsyncClient(url, stack.key, retries=PATIENT) as client:
            await client.download(artifact, tmp_path / "a")

    with cutting(base_url(stack), 100, artifact["size_bytes"] // 10, seed) as proxy:
        asyncio.run(download(proxy.url))
    assert proxy.cuts >= 10
    assert sha256_of(tmp_path / "a") == artifact["sha256"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(
    stack: Stack, ended: dict[str, Any], tmp_path: Path
) -> None:
    (artifact,) = ended["artifacts"]
    size = artifact["size_bytes"]
    with (
        cutting(base_url(stack), size // 2, size // 2) as proxy,
        Client(proxy.url, stack.key, retries=RetryPolicy(retries=0)) as client,
        pytest.raises(ServiceUnreachable),
    ):
        client.download(artifact, tmp_path / "a")
    (part,) = tmp_path.iterdir()
    assert part.name.endswith(".partial")
    arrived = part.stat().st_size
    assert 0 < arrived < size
    seen: list[int] = []
    with Client(base_url(stack), stack.key) as client:
        client.download(artifact, tmp_path / "a", lambda done, total: seen.append(done))
    assert seen[0] == arrived
    assert sha256_of(tmp_path / "a") == artifact["sha256"]


def check(events: list[Event]) -> None:
    ids = [event["id"] or 0 for event in events]
    assert ids == sorted(set(ids))
    assert [event["kind"] for event in events] == KINDS


@pytest.mark.parametrize("seed", range(3))
def test_the_events_of_an_ended_job_come_once_and_in_order(
    stack: Stack, ended: dict[str, Any], seed: int
) -> None:
    async def collect(url: str) -> list[Event]:
        async with AsyncClient(url, stack.key, retries=PATIENT) as client:
            return [event async for event in client.events(ended["id"])]

    whole = stack.http.get(f"/v1/extractions/{ended['id']}/events")
    longest = len(whole.content) // 2 + 600  # half of the events, after the headers
    with cutting(base_url(stack), 300, longest, seed) as proxy:
        with Client(proxy.url, stack.key, retries=PATIENT) as client:
            check(list(client.events(ended["id"])))
        assert proxy.cuts
        cuts = proxy.cuts
        check(asyncio.run(collect(proxy.url)))
        assert proxy.cuts > cuts


def test_a_job_that_is_under_way_is_followed_through_cuts(stack: Stack) -> None:
    with (
        cutting(base_url(stack), 50, 1200) as proxy,
        Client(proxy.url, stack.key, retries=PATIENT) as client,
    ):
        check(list(client.events(stack.ask({"macs": "39M"})["id"])))
    assert proxy.cuts


def test_a_request_whose_answer_is_cut_makes_one_job(stack: Stack) -> None:
    request = {"teacher": "all-MiniLM-L6-v2", "budget": {"macs": 35_500_000}}
    with (
        cutting(base_url(stack), 50, 6000) as proxy,
        Client(proxy.url, stack.key, retries=PATIENT) as client,
    ):
        jobs = [client.create_extraction(request, "one-and-the-same") for _ in range(20)]
    assert proxy.cuts
    assert len({job["id"] for job in jobs}) == 1
    assert made(stack, 35_500_000) == [jobs[0]["id"]]


def made(stack: Stack, macs: int) -> list[str]:
    """Ids of the jobs with a budget."""
    with Client(base_url(stack), stack.key) as client:
        everything = list(client.list_extractions(limit=5))
    return [job["id"] for job in everything if job["request"]["budget"]["macs"] == macs]


@pytest.mark.parametrize(("kind", "macs"), [("sync", 37_000_019), ("async", 38_000_019)])
def test_a_student_arrives_through_connections_that_are_cut(
    stack: Stack, tmp_path: Path, kind: str, macs: int
) -> None:
    request = {"teacher": "all-MiniLM-L6-v2", "budget": {"macs": macs}}
    events: list[Event] = []

    async def extract(url: str) -> Student:
        async with AsyncClient(url, stack.key, retries=PATIENT) as client:
            return await client.extract(request, tmp_path / "student", events.append)

    # Answers of some KB come through most of the time, and the file takes many connections.
    with cutting(base_url(stack), 200, 200_000, seed=1) as proxy:
        if kind == "sync":
            with Client(proxy.url, stack.key, retries=PATIENT) as client:
                student = client.extract(request, tmp_path / "student", events.append)
        else:
            student = asyncio.run(extract(proxy.url))
    assert proxy.cuts
    check(events)
    assert student.folder == tmp_path / "student"
    assert (student.folder / "receipt.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["student"]
    assert made(stack, macs) == [student.extraction["id"]]
