"""Lists of extractions: filters and their limits."""

import datetime
from typing import Any

import pytest

from database import aliases, api_keys, extractions, superlms
from database.session import reading
from database.tables import new_id
from tests.service.conftest import WORKER, Alone

LEASE = datetime.timedelta(hours=1)
OTHER = "another-teacher"


@pytest.fixture(scope="module")
def jobs(alone: Alone) -> dict[str, str]:
    """Jobs of two keys and teachers, in four states; one had its student chosen."""
    made: dict[str, str] = {}
    with alone.sessions.begin() as session:
        mine, text = api_keys.create_key(session, "of the list", ["extract"])
        made["key"] = text
        tiny = superlms.get(session, "minilm-l6-narrow")
        aliases.point(session, "minilm-l6-narrow", "of-the-list", tiny.version)
        for name, teacher in (
            ("queued", OTHER),
            ("working", OTHER),
            ("failed", "all-MiniLM-L6-v2"),
            ("canceled", OTHER),
        ):
            request = {"budget": {"macs": 1}, "formats": ["transformers"], "teacher": teacher}
            if name == "working":
                request = {**request, "superlm": "minilm-l6-narrow"}
                del request["teacher"]
            key_id = None if name == "canceled" else mine.id
            made[name] = extractions.create(session, request, key_id).id
        for name in ("working", "failed"):
            extractions.claim(session, made[name], WORKER, LEASE)
        extractions.choose(session, made["working"], WORKER, tiny.id, {})
        extractions.request_cancel(session, made["canceled"])
    alone.fail(made["failed"])
    return made


def listed(alone: Alone, jobs: dict[str, str], **query: Any) -> set[str]:
    """Names of the jobs that a list has, all pages of it, asked for with their key."""
    headers = {"Authorization": f"Bearer {jobs['key']}"}
    names = {id_: name for name, id_ in jobs.items()}
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        params = {"limit": 2, **query, **cursor}
        answer = alone.http.get("/v1/extractions", params=params, headers=headers)
        assert answer.status_code == 200, answer.text
        found += [item["id"] for item in answer.json()["items"]]
        if answer.json()["next_cursor"] is None:
            break
        cursor = {"cursor": answer.json()["next_cursor"]}
    assert found == sorted(set(found), reverse=True)
    return {names[id_] for id_ in found if id_ in names}


def test_filters_are_all_met(alone: Alone, jobs: dict[str, str]) -> None:
    for query, wanted in (
        ({"mine": True}, {"queued", "working", "failed"}),
        ({"mine": True, "state": "queued"}, {"queued"}),
        ({"mine": True, "state": ["searching", "failed"]}, {"working", "failed"}),
        ({"mine": True, "state": "succeeded"}, set()),
        ({"teacher": OTHER}, {"queued", "canceled"}),
        ({"teacher": OTHER, "mine": True}, {"queued"}),
        ({"teacher": "all-MiniLM-L6-v2", "mine": True}, {"working", "failed"}),
        ({"superlm": "minilm-l6-narrow", "mine": True}, {"working"}),
        ({"superlm": "minilm-l6-narrow@1"}, {"working"}),
        ({"superlm": "minilm-l6-narrow@3"}, set()),
        ({"superlm": "minilm-l6-narrow@latest"}, {"working"}),
        ({"superlm": "minilm-l6-narrow@of-the-list"}, {"working"}),
        ({"superlm": "minilm-l6-narrow@nothing"}, set()),
        ({"superlm": "minilm-l6-wide@of-the-list"}, set()),
        ({"superlm": "nothing"}, set()),
    ):
        assert listed(alone, jobs, **query) == wanted, query


def test_times_may_be_of_any_zone(alone: Alone, jobs: dict[str, str]) -> None:
    with reading(alone.sessions) as session:
        created = extractions.get(session, jobs["failed"]).created_at
    everywhere = created.astimezone(datetime.timezone(datetime.timedelta(hours=5, minutes=30)))
    for time in (created.isoformat(), everywhere.isoformat()):
        late = listed(alone, jobs, mine=True, created_after=time)
        early = listed(alone, jobs, mine=True, created_before=time)
        assert "failed" in late
        assert "failed" not in early
        assert (late | early, late & early) == ({"queued", "working", "failed"}, set())


@pytest.mark.parametrize(
    "query",
    [
        {"stat": "queued"},
        {"state": "lost"},
        {"state": ["queued", "lost"]},
        {"cursor": "x"},
        {"cursor": ""},
        {"cursor": "0" * 36},
        {"cursor": new_id() + "\n"},
        {"limit": 0},
        {"limit": 101},
        {"mine": "perhaps"},
        {"superlm": "a@b@c"},
        {"superlm": "minilm-l6-narrow@99999999999"},
        {"teacher": "a\0b"},
        {"created_after": "2026-01-01T00:00:00"},
        {"created_after": "yesterday"},
        {"created_before": "0001-01-01T00:00:00+14:00"},
        {"created_before": "9999-12-31T23:59:59-14:00"},
    ],
    ids=str,
)
def test_a_query_that_is_not_valid_is_refused(alone: Alone, query: dict[str, Any]) -> None:
    refused = alone.http.get("/v1/extractions", params=query)
    assert refused.status_code == 422, refused.text
    assert refused.json()["type"].endswith("/invalid-request")


def test_a_cursor_of_a_job_that_never_was_is_a_place_in_the_list(
    alone: Alone, jobs: dict[str, str]
) -> None:
    first = "00000000-0000-7000-8000-000000000000"
    page = alone.http.get("/v1/extractions", params={"cursor": first}).json()
    assert page == {"items": [], "next_cursor": None}
    assert alone.http.get("/v1/extractions", params={"cursor": new_id()}).json()["items"]
