"""Equal requests share one search and one artifact."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import redis
from sqlalchemy import func, select

from database import api_keys, superlms
from database.session import reading
from database.tables import EventRow, ExtractionRow
from models_store.artifacts import FolderStore
from service.fingerprint import fingerprint_of
from tests.service.conftest import Alone
from tests.stack import Stack
from worker.queue import QUEUE

TEACHER = "all-MiniLM-L6-v2"


@pytest.mark.both_databases
def test_the_same_budget_from_fifty_keys_is_fifty_jobs_one_artifact_one_search(
    stack: Stack,
) -> None:
    with stack.sessions.begin() as session:
        keys = [api_keys.create_key(session, f"{n}", ["extract"])[1] for n in range(50)]
    body = {"teacher": TEACHER, "budget": {"macs": 37_000_000}}

    def post(key: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": key}
        return stack.http.post("/v1/extractions", json=body, headers=headers)

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(post, keys))
    assert {answer.status_code for answer in answers} <= {200, 202}
    jobs = {answer.json()["id"] for answer in answers}
    assert len(jobs) == 50
    done = [stack.wait(job) for job in jobs]
    assert {job["state"] for job in done} == {"succeeded"}
    assert len({job["artifacts"][0]["sha256"] for job in done}) == 1
    assert sum(job["attempts"] for job in done) == 1
    assert all(job["receipt"] == done[0]["receipt"] for job in done)
    assert all(job["architecture"] == done[0]["architecture"] for job in done)
    with reading(stack.sessions) as session:
        searches = select(func.count()).where(
            EventRow.extraction_id.in_(jobs), EventRow.kind == "searching"
        )
        assert session.scalar(searches) == 1


def test_a_known_result_is_given_at_once_by_whatever_name_it_is_asked_for(stack: Stack) -> None:
    budget = {"macs": "37.1M"}
    done = stack.wait(stack.ask(budget, teacher=None, superlm="minilm-l6-narrow")["id"])
    body = {"superlm": done["superlm"], "budget": {"macs": 37_100_000}}
    again = stack.http.post("/v1/extractions", json=body)
    assert again.status_code == 200
    shared = again.json()
    assert again.headers["location"] == f"/v1/extractions/{shared['id']}"
    assert shared["id"] != done["id"]
    assert (shared["state"], shared["percent"], shared["attempts"]) == ("succeeded", 100, 0)
    assert shared["receipt"] == done["receipt"]
    (mine,), (theirs,) = shared["artifacts"], done["artifacts"]
    assert stack.http.get(mine["url"]).content == stack.http.get(theirs["url"]).content
    events = stack.http.get(
        f"/v1/extractions/{shared['id']}/events", headers={"Accept": "application/json"}
    ).json()["items"]
    assert [event["kind"] for event in events] == ["queued", "succeeded"]
    assert events[1]["shared_with"] == done["id"]


def test_a_result_whose_file_is_gone_is_made_anew(stack: Stack) -> None:
    done = stack.wait(stack.ask({"macs": 37_200_000})["id"])
    file = FolderStore(stack.settings.artifacts_dir).path(done["artifacts"][0]["sha256"])
    file.unlink()
    again = stack.wait(stack.ask({"macs": 37_200_000})["id"])
    assert (again["state"], again["attempts"]) == ("succeeded", 1)
    assert file.is_file()


def test_a_canceled_search_is_gone_on_with_for_the_others(alone: Alone, broker_url: str) -> None:
    first, second = alone.ask(37_300_000), alone.ask(37_300_000)
    with redis.Redis.from_url(f"{broker_url}/8") as queue:
        sent = queue.llen(QUEUE)
        assert alone.http.post(f"/v1/extractions/{first}/cancel").json()["state"] == "canceled"
        assert queue.llen(QUEUE) == sent + 1
        assert second.encode() in queue.lindex(QUEUE, 0)
    again = alone.http.post(f"/v1/extractions/{first}/cancel")
    assert (again.status_code, again.json()["state"]) == (202, "canceled")
    alone.claim(second)
    alone.succeed(second)
    assert alone.state_of(second) == "succeeded"


def test_followers_are_not_sent_to_the_workers(alone: Alone) -> None:
    jobs = [alone.ask(37_400_000) for _ in range(3)]
    with reading(alone.sessions) as session:
        rows = session.scalars(select(ExtractionRow).where(ExtractionRow.id.in_(jobs)))
        assert sorted(row.sent_at is not None for row in rows) == [False, False, True]


def test_the_fingerprint_changes_with_all_that_decides_the_result(alone: Alone) -> None:
    with reading(alone.sessions) as session:
        rows = superlms.list_newest(session)
    request: dict[str, Any] = {"teacher": TEACHER, "budget": {"macs": 1}, "formats": ["x"]}
    base = fingerprint_of(request, rows, None)
    assert fingerprint_of({**request, "teacher": "by another name"}, rows[::-1], None) == base
    others = [
        fingerprint_of({**request, "budget": {"macs": 2}}, rows, None),
        fingerprint_of({**request, "formats": ["x", "y"]}, rows, None),
        fingerprint_of({**request, "text": {"sha256": "0"}}, rows, None),
        fingerprint_of(request, rows[1:], None),
        fingerprint_of(request, rows, {"created_at": "today"}),
        fingerprint_of(request, rows, {"created_at": "tomorrow"}),
    ]
    assert len({base, *others}) == 1 + len(others)
