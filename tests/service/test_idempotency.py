"""`Idempotency-Key`: a request that is repeated makes no other job."""

import datetime
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from sqlalchemy import func, select

from database import api_keys
from database.session import reading
from database.tables import ExtractionRow, IdempotencyRow
from tests.service.conftest import Alone
from tests.stack import Stack


@pytest.mark.both_databases
def test_fifty_posts_at_once_with_one_key_make_one_job(stack: Stack) -> None:
    body = {"teacher": "all-MiniLM-L6-v2", "budget": {"macs": 36_000_001}}
    headers = {"Idempotency-Key": "fifty"}
    with reading(stack.sessions) as session:
        before = session.scalar(select(func.count(ExtractionRow.id))) or 0

    def post(number: int) -> httpx.Response:
        return stack.http.post("/v1/extractions", json=body, headers=headers)

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(post, range(50)))
    assert {answer.status_code for answer in answers} <= {200, 202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert sum(answer.headers.get("idempotency-replayed") != "true" for answer in answers) == 1
    with reading(stack.sessions) as session:
        assert session.scalar(select(func.count(ExtractionRow.id))) == before + 1
    assert stack.wait(answers[0].json()["id"])["state"] == "succeeded"


def test_a_repeated_request_is_answered_with_the_job_as_it_stands(alone: Alone) -> None:
    key = {"Idempotency-Key": "repeat"}
    first = alone.post(36_000_000, key)
    assert (first.status_code, "idempotency-replayed" in first.headers) == (202, False)
    job = first.json()["id"]
    again = alone.post(36_000_000, key)
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    alone.claim(job)
    alone.fail(job)
    ended = alone.post("36M", key)  # the same amount in other words
    assert (ended.status_code, ended.json()["id"]) == (200, job)
    assert ended.json()["state"] == "failed"


def test_another_request_with_the_same_key_is_refused(alone: Alone) -> None:
    key = {"Idempotency-Key": "other"}
    first = alone.post(36_100_000, key)
    for other in ({"budget": {"macs": 36_100_001}}, {"webhook": {"url": "https://example.com"}}):
        refused = alone.post(36_100_000, key, **other)
        assert refused.status_code == 422
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["type"].endswith("/idempotency-key-reused")
    assert alone.post(36_100_000, key).json()["id"] == first.json()["id"]


def test_a_refused_request_is_not_remembered(alone: Alone) -> None:
    key = {"Idempotency-Key": "refused"}
    assert alone.post(1, key).status_code == 422
    accepted = alone.post(36_200_000, key)
    assert accepted.status_code == 202
    assert "idempotency-replayed" not in accepted.headers


def test_each_api_key_has_keys_of_its_own(alone: Alone) -> None:
    with alone.sessions.begin() as session:
        _, other = api_keys.create_key(session, "other", ["extract"])
    mine = alone.post(36_300_000, {"Idempotency-Key": "shared"})
    theirs = alone.post(
        36_300_001, {"Idempotency-Key": "shared", "Authorization": f"Bearer {other}"}
    )
    assert (mine.status_code, theirs.status_code) == (202, 202)
    assert mine.json()["id"] != theirs.json()["id"]


@pytest.mark.parametrize("key", [b"", b"a" * 256, b"a b", b"caf\xe9", b"a\x7f"])
def test_a_key_that_is_none_is_refused(alone: Alone, key: bytes) -> None:
    headers = {**alone.headers, "Idempotency-Key": key}
    body = {"teacher": "all-MiniLM-L6-v2", "budget": {"macs": 36_400_000}}
    refused = alone.http.post("/v1/extractions", json=body, headers=headers)  # type: ignore[arg-type]
    assert refused.status_code == 422
    assert refused.json()["type"].endswith("/invalid-request")


def test_a_key_of_all_visible_characters_is_taken(alone: Alone) -> None:
    key = {"Idempotency-Key": ("".join(map(chr, range(0x21, 0x7F))) * 3)[:255]}
    assert alone.post(36_500_000, key).status_code == 202
    assert alone.post(36_500_000, key).headers["idempotency-replayed"] == "true"


def test_the_sweeper_forgets_keys_after_a_day(alone: Alone) -> None:
    key = {"Idempotency-Key": "yesterday"}
    assert alone.post(36_600_000, key).status_code == 202
    with alone.sessions.begin() as session:
        row = session.scalar(select(IdempotencyRow).where(IdempotencyRow.key == "yesterday"))
        assert row is not None
        row.created_at -= datetime.timedelta(hours=24)
    deadline = time.monotonic() + 10
    while alone.post(36_600_001, key).status_code == 422:
        assert time.monotonic() < deadline
        time.sleep(0.05)
