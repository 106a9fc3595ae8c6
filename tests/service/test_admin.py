"""What admins do with what is registered: aliases, deprecation, deletion, keys, workers, audit."""

import os
import signal
from pathlib import Path

import pytest

from tests.archives import variant
from tests.service.conftest import Alone, until
from tests.stack import Stack
from worker.entry import register_bundle

ADMIN = "/v1/admin"


def add(alone: Alone, folder: Path, name: str, *versions: int) -> None:
    """Register versions of a SuperLM of a teacher of its own, without a worker."""
    for version in versions:
        bundle = variant(folder / f"{name}-{version}", name, version)
        with alone.sessions.begin() as session:
            register_bundle(session, bundle, alone.settings.superlms_dir)


def test_an_alias_stands_for_its_version_wherever_a_superlm_is_named(
    alone: Alone, tmp_path: Path
) -> None:
    add(alone, tmp_path, "aliased", 1, 2)
    path = f"{ADMIN}/superlms/aliased/aliases/stable"
    made = alone.http.put(path, json={"version": 1})
    assert (made.status_code, made.json()["superlm"]) == (201, "aliased@1")
    assert alone.http.get("/v1/superlms/aliased@stable").json()["superlm"] == "aliased@1"
    moved = alone.http.put(path, json={"version": 2})
    assert (moved.status_code, moved.json()["superlm"]) == (200, "aliased@2")
    request = {"superlm": "aliased@stable", "budget": {"macs": "60M"}}
    assert alone.http.post("/v1/plans", json=request).json()["choice"]["superlm"] == "aliased@2"
    assert alone.http.get("/v1/superlms/aliased@1").json()["aliases"] == {"stable": 2}
    assert alone.http.get("/v1/superlms/aliased@stable/frontier").status_code == 200
    assert alone.http.delete(path).status_code == 204
    assert alone.http.delete(path).status_code == 404
    assert alone.http.get("/v1/superlms/aliased@stable").status_code == 404
    assert alone.http.post("/v1/plans", json=request).json()["type"] == "/problems/unknown-superlm"


@pytest.mark.parametrize(
    ("alias", "version", "status"),
    [("latest", 1, 409), ("1", 1, 422), ("Stable", 1, 422), ("stable", 99, 404)],
)
def test_an_alias_that_cannot_be_is_refused(
    alone: Alone, alias: str, version: int, status: int
) -> None:
    path = f"{ADMIN}/superlms/minilm-l6-narrow/aliases/{alias}"
    assert alone.http.put(path, json={"version": version}).status_code == status


def test_a_deprecated_version_is_chosen_only_by_who_names_it(alone: Alone, tmp_path: Path) -> None:
    add(alone, tmp_path, "old", 1, 2)
    body = {"deprecated": "worse than 1"}
    patched = alone.http.patch(f"{ADMIN}/superlms/old@2", json=body)
    assert (patched.status_code, patched.json()["deprecated"]) == (200, "worse than 1")
    for reference in ("old", "old@latest"):
        assert alone.http.get(f"/v1/superlms/{reference}").json()["superlm"] == "old@1"
    assert alone.http.get("/v1/superlms/old@2").json()["deprecated"] == "worse than 1"
    listed = alone.http.get("/v1/superlms?deprecated=true&name=old").json()["items"]
    assert [item["superlm"] for item in listed] == ["old@2"]
    alone.http.patch(f"{ADMIN}/superlms/old@1", json=body)
    refused = alone.http.get("/v1/superlms/old")
    assert refused.status_code == 404
    assert "old@1, old@2" in refused.json()["detail"]
    alone.http.patch(f"{ADMIN}/superlms/old@2", json={"deprecated": None})
    assert alone.http.get("/v1/superlms/old").json()["superlm"] == "old@2"
    assert alone.http.patch(f"{ADMIN}/superlms/old@9", json=body).status_code == 404
    assert alone.http.patch(f"{ADMIN}/superlms/old", json=body).status_code == 422


def test_a_version_is_deleted_when_nothing_needs_it(alone: Alone, tmp_path: Path) -> None:
    add(alone, tmp_path, "doomed", 1)
    folder = alone.settings.superlms_dir / "doomed@1"
    path, alias = f"{ADMIN}/superlms/doomed@1", f"{ADMIN}/superlms/doomed/aliases/mine"
    assert folder.is_dir()
    alone.http.put(alias, json={"version": 1})
    refused = alone.http.delete(path)
    assert (refused.status_code, refused.json()["aliases"]) == (409, ["mine"])
    alone.http.delete(alias)
    job = alone.http.post(
        "/v1/extractions", json={"superlm": "doomed", "budget": {"macs": "60M"}}
    ).json()["id"]
    refused = alone.http.delete(path)
    assert (refused.status_code, refused.json()["extractions"]) == (409, [job])
    alone.http.post(f"/v1/extractions/{job}/cancel")
    assert alone.http.delete(path).status_code == 204
    assert not folder.exists()
    assert alone.http.get("/v1/superlms/doomed@1").status_code == 404
    assert alone.http.delete(path).status_code == 404
    assert alone.http.get(f"/v1/extractions/{job}").json()["state"] == "canceled"


def test_the_receipt_of_a_deleted_superlm_stays(stack: Stack, tmp_path: Path) -> None:
    done = stack.register({"path": str(variant(tmp_path / "bundle", "brief"))})
    job = stack.wait(stack.ask({"macs": "60M"}, teacher=None, superlm="brief")["id"])
    assert job["state"] == "succeeded"
    assert stack.http.delete(f"{ADMIN}/superlms/brief@1").status_code == 204
    after = stack.http.get(f"/v1/extractions/{job['id']}").json()
    assert after["receipt"] == job["receipt"]
    assert after["superlm"] == "brief@1"
    assert stack.http.get(after["artifacts"][0]["url"]).status_code == 200
    assert stack.http.get(f"{ADMIN}/registrations/{done['id']}").json()["superlm"] is None


def test_the_catalogue_is_paged_by_name_and_version(alone: Alone, tmp_path: Path) -> None:
    add(alone, tmp_path, "paged", 1, 2, 10)
    found: list[str] = []
    query = {"name": "paged", "limit": "2", "teacher": "all-MiniLM-L6-v2"}
    while True:
        page = alone.http.get("/v1/superlms", params=query).json()
        found += [item["superlm"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert found == ["paged@1", "paged@2", "paged@10"]
    assert alone.http.get("/v1/superlms?teacher=nobody").json()["items"] == []


def test_keys_are_made_with_limits_looked_at_and_revoked(alone: Alone) -> None:
    body = {"label": "team", "scopes": ["extract"], "requests_per_minute": 5}
    made = alone.http.post(f"{ADMIN}/api-keys", json=body)
    assert made.status_code == 201
    path = f"{ADMIN}/api-keys/{made.json()['id']}"
    shown = alone.http.get(path).json()
    assert (shown["requests_per_minute"], shown["extractions_per_day"]) == (5, None)
    assert "key" not in shown
    listed = alone.http.get(f"{ADMIN}/api-keys?limit=1").json()
    assert listed["items"] == [shown]
    older = alone.http.get(f"{ADMIN}/api-keys?limit=100&cursor={listed['next_cursor']}").json()
    assert shown["id"] not in [item["id"] for item in older["items"]]
    for _ in range(2):
        assert alone.http.delete(path).status_code == 204
    assert alone.http.get(path).json()["revoked_at"] is not None
    revoked = alone.http.get(f"{ADMIN}/audit?action=key.revoke").json()["items"]
    assert [entry["subject"] for entry in revoked].count(shown["id"]) == 1


def test_the_audit_trail_says_who_did_what_and_no_secret(alone: Alone, tmp_path: Path) -> None:
    made = alone.http.post(f"{ADMIN}/api-keys", json={"label": "x", "scopes": ["admin"]}).json()
    other = {"Authorization": f"Bearer {made['key']}"}
    add(alone, tmp_path, "watched", 1)
    version, alias = f"{ADMIN}/superlms/watched@1", f"{ADMIN}/superlms/watched/aliases/a"
    for method, path, body in (
        ("PUT", alias, {"version": 1}),
        ("PUT", alias, {"version": 7}),  # refused, and so not noted
        ("DELETE", alias, None),
        ("PATCH", version, {"deprecated": "old"}),
        ("DELETE", version, None),
        ("POST", f"{ADMIN}/superlms", {"path": "/nowhere"}),
        ("POST", f"{ADMIN}/devices/watched/profile", {}),
        ("DELETE", f"{ADMIN}/devices/watched", None),
    ):
        alone.http.request(method, path, json=body, headers=other)
    trail = alone.http.get(f"{ADMIN}/audit", params={"api_key_id": made["id"]}).json()["items"]
    assert [entry["action"] for entry in trail] == [
        *("device.forget", "device.profile", "superlm.register", "superlm.delete"),
        *("superlm.deprecate", "alias.delete", "alias.set"),
    ]
    assert trail[4]["detail"] == {"reason": "old"}
    everything = alone.http.get(f"{ADMIN}/audit?limit=100").text
    assert made["key"].split("_", 2)[2] not in everything
    assert alone.key.split("_", 2)[2] not in everything


def test_a_worker_says_what_it_is_and_what_it_does(stack: Stack) -> None:
    def workers() -> list[dict[str, object]]:
        items: list[dict[str, object]] = stack.http.get(f"{ADMIN}/workers").json()["items"]
        return items

    until(lambda: any(worker["alive"] for worker in workers()))
    (worker,) = workers()
    assert worker["device"] == "test-cpu"
    assert worker["threads"] == 1
    assert worker["pid"] == stack.worker._process.pid  # type: ignore[union-attr]
    assert {"torch", "transformers"} <= worker["machine"]["versions"].keys()  # type: ignore[index]
    job = stack.ask({"macs": "59M"})["id"]
    with stack.stopped_worker(job):
        until(lambda: workers()[0]["busy_with"] == [job])
    stack.wait(job)
    pid = int(str(worker["pid"]))
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: not workers()[0]["alive"])
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: workers()[0]["alive"] is True)
