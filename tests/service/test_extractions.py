import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select

from database import extractions, superlms
from database.session import reading
from database.tables import ArtifactRow, EventRow
from tests.stack import Stack
from worker.queue import make_celery, send_extraction

LOAD = """
import sys
from transformers import AutoModel
model, info = AutoModel.from_pretrained(sys.argv[1], output_loading_info=True)
assert not any(info.values()), info
assert "autodistil" not in sys.modules
print(sum(p.numel() for p in model.parameters()))
"""


@pytest.mark.both_databases
def test_a_budget_becomes_a_student_that_plain_transformers_loads(
    stack: Stack, tmp_path: Path
) -> None:
    # Not the budget of the examples, whose result other tests may have asked for.
    body = {"teacher": "all-MiniLM-L6-v2", "budget": {"macs": 60_000_019, "params": "40%"}}
    created = stack.http.post("/v1/extractions", json=body)
    assert created.status_code == 202
    assert created.headers["location"] == f"/v1/extractions/{created.json()['id']}"

    done = stack.wait(created.json()["id"])
    assert (done["state"], done["percent"], done["attempts"]) == ("succeeded", 100, 1), done
    assert done["receipt"]["limits"] == {"macs": 60_000_019, "params": 9_085_286}
    assert done["cost"]["macs"] <= 60_000_019
    assert done["receipt"]["cost"] == done["cost"]

    (artifact,) = done["artifacts"]
    download = stack.http.get(artifact["url"])
    assert download.headers["etag"] == f'"{hashlib.sha256(download.content).hexdigest()}"'
    assert download.headers["etag"] == f'"{artifact["sha256"]}"'
    assert len(download.content) == artifact["size_bytes"]
    again = stack.http.get(artifact["url"], headers={"If-None-Match": download.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = stack.http.head(artifact["url"])
    assert head.headers["content-length"] == str(artifact["size_bytes"])
    assert head.content == b""

    with tarfile.open(fileobj=io.BytesIO(download.content)) as tar:
        tar.extractall(tmp_path, filter="data")
    for name, entry in done["receipt"]["files"].items():
        content = (tmp_path / name).read_bytes()
        assert len(content) == entry["size_bytes"]
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
    loaded = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    to_teacher = 384 * done["architecture"]["hidden"] + 384  # the map, which a BERT has not
    assert int(loaded.stdout) + to_teacher == done["cost"]["params"]


def test_the_choice_of_a_job_is_the_choice_of_its_plan(stack: Stack) -> None:
    body = {"superlm": "minilm-l6-narrow", "budget": {"macs": "20%", "size_bytes": 14_000_000}}
    plan = stack.http.post("/v1/plans", json=body).json()
    done = stack.wait(stack.http.post("/v1/extractions", json=body).json()["id"])
    assert done["superlm"] == plan["choice"]["superlm"]
    assert done["architecture"] == {name: plan["choice"][name] for name in done["architecture"]}
    files = done["receipt"]["files"]
    weights = ("model.safetensors", "2_Dense/model.safetensors")
    size = sum(files[name]["size_bytes"] for name in weights)
    assert size == plan["choice"]["size_bytes"] <= 14_000_000


@pytest.mark.both_databases
def test_a_job_whose_worker_child_is_killed_still_succeeds_once(stack: Stack) -> None:
    job = stack.ask({"macs": "70M"})
    child = stack.catch_working(job["id"])
    os.kill(child, signal.SIGKILL)
    done = stack.wait(job["id"])
    assert (done["state"], done["attempts"]) == ("succeeded", 2), done
    assert ended(stack, job["id"]) == (1, 1)


def test_a_job_that_kills_every_worker_is_given_up(stack: Stack) -> None:
    job = stack.ask({"macs": "80M"})
    killed: set[int] = set()
    while len(killed) < stack.settings.max_attempts:
        child = stack.catch_working(job["id"])
        if child not in killed:
            os.kill(child, signal.SIGKILL)
            killed.add(child)
    done = stack.wait(job["id"])
    assert (done["state"], done["attempts"]) == ("failed", stack.settings.max_attempts)
    assert done["problem"]["type"].endswith("/attempts-exhausted")
    assert done["artifacts"] == []
    following = stack.wait(stack.ask({"macs": "80M"})["id"])
    assert following["state"] == "succeeded"


def test_a_worker_that_hangs_loses_its_lease_and_the_job_succeeds_once(stack: Stack) -> None:
    job = stack.ask({"macs": "90M"})
    with stack.stopped_worker(job["id"]):
        # The sweeper takes the row away when the lease ends, and the message waits in the queue
        # behind the only child, which wakes up late.
        deadline = time.monotonic() + 20
        while stack.http.get(f"/v1/extractions/{job['id']}").json()["state"] != "queued":
            assert time.monotonic() < deadline, "the lease never ran out"
            time.sleep(0.1)
    done = stack.wait(job["id"])
    assert (done["state"], done["attempts"]) == ("succeeded", 2), done
    assert ended(stack, job["id"]) == (1, 1)


@pytest.mark.both_databases
def test_a_queued_row_without_a_message_is_found_by_the_sweeper(stack: Stack) -> None:
    request = {
        "teacher": "all-MiniLM-L6-v2",
        "budget": {"macs": "34M"},
        "formats": ["transformers"],
    }
    with stack.sessions.begin() as session:
        ids = superlms.pin(session, superlms.list_newest(session))
        row = extractions.create(session, request, None, superlm_ids=ids)
    assert stack.wait(row.id)["state"] == "succeeded"


def test_a_message_that_arrives_three_times_is_worked_on_once(stack: Stack) -> None:
    job = stack.ask({"macs": "34100000"})
    celery = make_celery(stack.settings.broker_url)
    for _ in range(2):
        assert send_extraction(celery, job["id"])
    celery.close()
    done = stack.wait(job["id"])
    after = stack.wait(stack.ask({"macs": "34200000"})["id"])  # behind all three in the queue
    assert after["state"] == "succeeded"
    assert stack.http.get(f"/v1/extractions/{job['id']}").json() == done
    assert done["attempts"] == 1
    assert ended(stack, job["id"]) == (1, 1)


def ended(stack: Stack, extraction_id: str) -> tuple[int, int]:
    """How many artifacts an extraction has, and how often it succeeded."""
    with reading(stack.sessions) as session:
        artifacts = select(func.count()).where(ArtifactRow.extraction_id == extraction_id)
        succeeded = select(func.count()).where(
            EventRow.extraction_id == extraction_id, EventRow.kind == "succeeded"
        )
        return session.scalar(artifacts) or 0, session.scalar(succeeded) or 0


@pytest.mark.both_databases
def test_a_queued_job_can_be_canceled_and_an_ended_one_cannot(stack: Stack) -> None:
    busy = stack.ask({"macs": "91M"})
    with stack.stopped_worker(busy["id"]):
        queued = stack.ask({"macs": "92M"})
        canceled = stack.http.post(f"/v1/extractions/{queued['id']}/cancel")
        assert (canceled.status_code, canceled.json()["state"]) == (202, "canceled")
        canceling = stack.http.post(f"/v1/extractions/{busy['id']}/cancel")
        assert (canceling.status_code, canceling.json()["state"]) == (202, "canceling")
    assert stack.wait(busy["id"])["state"] == "canceled"
    again = stack.http.post(f"/v1/extractions/{busy['id']}/cancel")
    assert (again.status_code, again.json()["state"]) == (202, "canceled")
    done = stack.wait(stack.ask({"macs": "93M"})["id"])
    late = stack.http.post(f"/v1/extractions/{done['id']}/cancel")
    assert (late.status_code, late.json()["state"]) == (409, "succeeded")
    assert late.headers["content-type"] == "application/problem+json"


def test_a_budget_below_the_least_student_is_refused_with_what_is_possible(stack: Stack) -> None:
    for path in ("/v1/extractions", "/v1/plans"):
        body = {"teacher": "all-MiniLM-L6-v2", "budget": {"macs": 1000}}
        refused = stack.http.post(path, json=body)
        assert refused.status_code == 422
        assert refused.headers["content-type"] == "application/problem+json"
        problem = refused.json()
        assert problem["type"].endswith("/infeasible-budget")
        assert (problem["binding_limit"], problem["least_possible"]) == ("macs", 33_623_424)
        nearest = problem["nearest_student"]
        assert (nearest["layers"], nearest["hidden"]) == (1, 192)
        possible = {**body, "budget": {"macs": problem["least_possible"]}}
        assert stack.http.post("/v1/plans", json=possible).status_code == 200


def test_a_latency_limit_is_refused_with_the_devices_known(stack: Stack) -> None:
    for latency in ({"ms": 5}, {"ms": 5, "device": "local-cpu"}):
        body = {"teacher": "all-MiniLM-L6-v2", "budget": {"latency": latency}}
        refused = stack.http.post("/v1/extractions", json=body)
        assert refused.status_code == 422
        assert refused.json()["type"].endswith("/unknown-device")
        assert "local-cpu" not in refused.json()["devices"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"{}",
        b'{"budget": {"macs": 1e8}}',
        b'{"teacher": "all-MiniLM-L6-v2"}',
        b'{"teacher": "all-MiniLM-L6-v2", "budget": {}}',
        b'{"teacher": "all-MiniLM-L6-v2", "superlm": "a", "budget": {"macs": 100000000}}',
        b'{"teacher": "all-MiniLM-L6-v2", "budget": {"macs": 1e8}, "more": 1}',
        b'{"teacher": "all-MiniLM-L6-v2", "budget": {"macs": true}}',
        b'{"teacher": "all-MiniLM-L6-v2", "budget": {"macs": NaN}}',
        b'{"teacher": "all-MiniLM-L6-v2", "budget": {"macs": Infinity}}',
        b'{"teacher": "all-MiniLM-L6-v2", "budget": {"macs": -1}}',
        b'{"teacher": "all-MiniLM-L6-v2", "budget": {"macs": 0}}',
        b'{"teacher": "all-MiniLM-L6-v2", "budget": {"macs": [1]}}',
        b'{"teacher": "all-MiniLM-L6-v2", "budget": {"macs": "60X"}}',
        b'{"teacher": "all-MiniLM-L6-v2", "budget": {"macs": ' + b"9" * 5000 + b"}}",
        b'{"teacher": "all-MiniLM-L6-v2", "budget": {"macs": 1e8}, "formats": ["pickle"]}',
        b'{"teacher": "a\\u0000b", "budget": {"macs": 1e8}}',
        b'{"teacher": "unknown", "budget": {"macs": 1e8}}',
        b'{"superlm": "minilm-l6-narrow@99", "budget": {"macs": 1e8}}',
        b'{"teacher": "\\ud800", "budget": {"macs": 1e8}}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
    ids=lambda body: body[:60].decode(errors="replace"),
)
def test_a_bad_request_is_a_problem_and_leaves_no_job(stack: Stack, body: bytes) -> None:
    newest = stack.http.get("/v1/extractions?limit=1").json()["items"][:1]
    for path in ("/v1/extractions", "/v1/plans"):
        headers = {"Content-Type": "application/json"}
        refused = stack.http.post(path, content=body, headers=headers)
        if path == "/v1/plans" and b"pickle" in body:
            assert refused.status_code == 422  # plans know no formats
        assert 400 <= refused.status_code < 500, refused.text
        assert refused.headers["content-type"] == "application/problem+json"
        assert set(refused.json()) >= {"type", "title", "status", "detail"}
    after = stack.http.get("/v1/extractions?limit=1").json()["items"][:1]
    assert [job["id"] for job in after] == [job["id"] for job in newest]


def test_a_body_that_is_too_large_is_refused(stack: Stack) -> None:
    def chunks() -> "object":
        yield b'{"teacher": "'
        for _ in range(32):
            yield b"a" * 65536

    big = b'{"teacher": "' + b"a" * (2 << 20) + b'"}'
    for content in (big, chunks()):
        refused = stack.http.post("/v1/extractions", content=content)  # type: ignore[arg-type]
        assert refused.status_code == 413
        assert refused.headers["content-type"] == "application/problem+json"


@pytest.mark.both_databases
def test_paging_visits_every_job_once_from_the_newest_on(stack: Stack) -> None:
    request = {
        "teacher": "all-MiniLM-L6-v2",
        "budget": {"macs": "34M"},
        "formats": ["transformers"],
    }
    made = []
    for _ in range(7):
        with stack.sessions.begin() as session:
            row = extractions.create(session, request, None)
            extractions.request_cancel(session, row.id)
        made.append(row.id)
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": 3, "state": "canceled", **({"cursor": cursor} if cursor else {})}
        page = stack.http.get("/v1/extractions", params=query).json()
        assert len(page["items"]) <= 3
        assert {item["state"] for item in page["items"]} <= {"canceled"}
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == sorted(set(seen), reverse=True)
    assert seen[:7] == made[::-1]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/extractions/nothing",
        "/v1/extractions/00000000-0000-0000-0000-000000000000",
        "/v1/extractions/00000000-0000-0000-0000-000000000000/artifacts/transformers.tar.gz",
        "/v1/extractions?cursor=x",
        "/v1/extractions?limit=0",
        "/v1/extractions?limit=101",
        "/v1/extractions?state=lost",
        "/v1/superlms/nothing",
        "/v1/superlms/minilm-l6-narrow@99999999999999999999",
        "/v1/superlms/minilm-l6-narrow@x",
        "/v1/nothing",
    ],
)
def test_what_is_not_there_is_a_problem(stack: Stack, path: str) -> None:
    answer = stack.http.get(path)
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code
