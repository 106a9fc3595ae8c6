"""What is sent again, and what is not."""

import asyncio
import email.utils
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autodistil.errors import InvalidInput
from client import (
    ApiProblem,
    Artifact,
    AsyncClient,
    Client,
    DamagedDownload,
    RetryPolicy,
    ServiceUnreachable,
)
from tests.client.scripted_service import Said, saying

QUICK = RetryPolicy(retries=3, first_pause=0.01)
REQUEST = {"teacher": "t", "budget": {"macs": 1}}
AWAY = {"type": "/problems/unavailable", "title": "x", "status": 503, "detail": "Not now."}
JOB = {"id": "1", "state": "queued"}
CONTENT = bytes(range(256)) * 10
FILE = Artifact(
    name="f",
    format="x",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size_bytes=len(CONTENT),
    url="/f",
)


def connect(url: str, retries: RetryPolicy = QUICK) -> Client:
    return Client(url, "key", timeout=5, retries=retries)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_service_that_is_away_for_a_moment_is_asked_again(status: int) -> None:
    async def ask(url: str) -> Any:
        async with AsyncClient(url, "key", retries=QUICK) as client:
            return await client.create_extraction(REQUEST)

    sync: Callable[[str], Any] = lambda url: connect(url).create_extraction(REQUEST)  # noqa: E731
    for kind in (sync, lambda url: asyncio.run(ask(url))):
        with saying(Said(status, AWAY), Said(status, b"<html>"), Said(202, JOB)) as service:
            assert kind(service.url) == JOB
            keys = {headers["Idempotency-Key"] for _, _, headers in service.asked}
        assert (len(service.asked), len(keys)) == (3, 1)


def test_two_requests_have_two_idempotency_keys() -> None:
    with saying(Said(202, JOB)) as service, connect(service.url) as client:
        client.create_extraction(REQUEST)
        client.create_extraction(REQUEST)
        client.create_extraction(REQUEST, idempotency_key="mine", wait=5)
    first, second, third = (headers for _, _, headers in service.asked)
    assert first["Idempotency-Key"] != second["Idempotency-Key"]
    assert (third["Idempotency-Key"], third["Prefer"]) == ("mine", "wait=5")


def test_it_is_given_up_in_the_end_with_the_last_problem() -> None:
    with saying(Said(503, AWAY)) as service, connect(service.url) as client:
        with pytest.raises(ApiProblem, match="Not now") as given_up:
            client.superlms()
        assert len(service.asked) == 1 + QUICK.retries
    assert (given_up.value.kind, given_up.value.status) == ("unavailable", 503)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422, 500])
def test_a_refusal_is_not_asked_about_again(status: int) -> None:
    problem = {**AWAY, "status": status, "type": "/problems/x", "binding_limit": "macs"}
    with saying(Said(status, problem)) as service, connect(service.url) as client:
        with pytest.raises(ApiProblem) as refused:
            client.plan(REQUEST)
        assert len(service.asked) == 1
    assert refused.value.members == {"binding_limit": "macs"}
    assert refused.value.problem() == problem


def test_the_pause_that_the_service_asks_for_is_kept() -> None:
    date = email.utils.formatdate(time.time() + 3, usegmt=True)  # whole seconds
    for header, least in ((date, 1.5), ("1", 0.95)):
        said = Said(429, AWAY, {"Retry-After": header})
        with saying(said, Said(200, {"items": []})) as service, connect(service.url) as client:
            begun = time.monotonic()
            assert client.superlms() == []
            assert least < time.monotonic() - begun < 5


def test_a_pause_that_is_too_long_is_not_waited_for() -> None:
    said = Said(429, {**AWAY, "type": "/problems/quota-exceeded"}, {"Retry-After": "3600"})
    with saying(said) as service, connect(service.url) as client:
        with pytest.raises(ApiProblem) as refused:
            client.create_extraction(REQUEST)
        assert len(service.asked) == 1
    assert refused.value.kind == "quota-exceeded"


def test_what_must_not_be_done_twice_is_repeated_only_if_it_was_not_done() -> None:
    with saying(Said(503, AWAY), Said(201, {"key": "k"})) as service:
        with connect(service.url) as client, pytest.raises(ApiProblem):
            client.admin.create_api_key("x", ["extract"])
        assert len(service.asked) == 1
    with saying(Said(429, AWAY), Said(201, {"key": "k"})) as service:
        with connect(service.url) as client:
            assert client.admin.create_api_key("x", ["extract"])["key"] == "k"
        assert len(service.asked) == 2


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://["])
def test_a_service_that_is_not_there_is_said_to_be_after_a_while(url: str) -> None:
    begun = time.monotonic()
    with connect(url) as client, pytest.raises(ServiceUnreachable, match="up'"):
        client.superlms()
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("url", ["ftp://x", "", "nothing", "http://x:y"])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    # Patience would be an hour here.
    patient = RetryPolicy(retries=60, first_pause=60)
    with pytest.raises((ServiceUnreachable, InvalidInput)), connect(url, patient) as client:
        client.superlms()


def test_a_key_that_no_header_can_hold_is_refused() -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(InvalidInput):
            kind("http://127.0.0.1:9", "ключ")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"\xff"])
def test_an_answer_that_is_not_of_the_service_is_said_to_be(body: bytes) -> None:
    with (
        saying(Said(200, body)) as service,
        connect(service.url) as client,
        pytest.raises(ServiceUnreachable, match="is this the service"),
    ):
        client.superlms()


@pytest.mark.parametrize("status", [404, 405])
def test_a_service_without_events_is_polled(status: int) -> None:
    states = [{**JOB, "state": state, "percent": 1} for state in ("queued", "queued", "succeeded")]
    answers = [Said(status, {**AWAY, "status": status}), *(Said(200, state) for state in states)]
    with saying(*answers) as service, connect(service.url) as client:
        events = list(client.events("1"))
    assert [event["kind"] for event in events] == ["queued", "succeeded"]
    assert [path for _, path, _ in service.asked][1:] == ["/v1/extractions/1"] * 3


def event(number: int, kind: str) -> bytes:
    return b'id: %d\nevent: x\ndata: {"id":%d,"kind":"%s"}\n\n' % (number, number, kind.encode())


STREAM = {"Content-Type": "text/event-stream"}


def test_a_stream_with_a_bounded_life_is_opened_again_after_the_last_event() -> None:
    parts = (
        event(1, "queued") + b": still here\n\n" + event(2, "searching"),
        event(2, "searching") + event(3, "slicing") + b'id: 4\ndata: {"id":4,',
        event(4, "succeeded") + event(5, "never"),
    )
    with (
        saying(*(Said(200, part, STREAM) for part in parts)) as service,
        connect(service.url) as client,
    ):
        assert [event["id"] for event in client.events("1")] == [1, 2, 3, 4]
    asked = [headers.get("Last-Event-ID") for _, _, headers in service.asked]
    assert asked == [None, "2", "3"]


def test_events_after_the_last_of_an_ended_job_are_none() -> None:
    ended = {**JOB, "state": "succeeded"}
    answers = (Said(200, b"", STREAM), Said(200, ended), Said(200, b"", STREAM))
    with saying(*answers) as service, connect(service.url) as client:
        assert list(client.events("1", after=9)) == []
        assert len(service.asked) == 3


def test_a_download_of_other_content_is_not_kept(tmp_path: Path) -> None:
    with saying(Said(200, b"x" * len(CONTENT))) as service, connect(service.url) as client:
        with pytest.raises(DamagedDownload):
            client.download(FILE, tmp_path / "f")
        assert len(service.asked) == 1
    assert not list(tmp_path.iterdir())


def test_what_another_call_left_is_dropped_if_it_was_wrong(tmp_path: Path) -> None:
    part = tmp_path / f".f.{FILE['sha256'][:16]}.partial"
    part.write_bytes(b"wrong" * 10)
    headers = {"Content-Range": f"bytes 50-{len(CONTENT) - 1}/{len(CONTENT)}"}
    answers = (Said(206, CONTENT[50:], headers), Said(200, CONTENT))
    with saying(*answers) as service, connect(service.url) as client:
        client.download(FILE, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == CONTENT
    ranges = [headers.get("Range") for _, _, headers in service.asked]
    assert ranges == ["bytes=50-", None]
    assert service.asked[0][2]["If-Range"] == f'"{FILE["sha256"]}"'
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_service_that_knows_no_ranges_is_downloaded_from_all_the_same(tmp_path: Path) -> None:
    part = tmp_path / f".f.{FILE['sha256'][:16]}.partial"
    part.write_bytes(CONTENT[:100])
    with saying(Said(200, CONTENT)) as service, connect(service.url) as client:
        client.download(FILE, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_a_file_that_is_longer_or_shorter_than_said_is_not_kept(tmp_path: Path) -> None:
    for body in (CONTENT + b"more", CONTENT[:-1]):
        with saying(Said(200, body)) as service, connect(service.url) as client:
            if len(body) > len(CONTENT):  # what is too much is not taken
                client.download(FILE, tmp_path / "f")
                assert (tmp_path / "f").read_bytes() == CONTENT
            else:
                with pytest.raises(ServiceUnreachable, match="ended after"):
                    client.download(FILE, tmp_path / "g")
                assert not (tmp_path / "g").exists()
