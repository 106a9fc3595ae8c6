"""API keys and workers of a running service on the command line."""

import json

import httpx
import pytest

from tests.cli.test_device import run
from tests.stack import DEVICE, Stack


@pytest.fixture(autouse=True)
def _service(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTODISTIL_URL", str(stack.http.base_url))
    monkeypatch.setenv("AUTODISTIL_API_KEY", stack.key)


def answer(stack: Stack, path: str, key: str) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.get(f"{stack.http.base_url}{path}", headers=headers).status_code


def test_a_key_is_made_shown_once_and_revoked(stack: Stack) -> None:
    made = run("keys", "create", "search team", "--extractions-per-day", "50")
    secret = made.stdout.removesuffix("\n")
    assert "\n" not in secret
    assert answer(stack, "/v1/superlms", secret) == 200
    assert answer(stack, "/v1/admin/workers", secret) == 403
    listed = run("keys", "list")
    (key,) = (
        one
        for one in json.loads(run("keys", "list", "--json").stdout)
        if one["label"] == "search team"
    )
    assert (key["scopes"], key["extractions_per_day"]) == (["extract"], 50)
    assert key["requests_per_minute"] is None
    assert made.stderr.endswith(f"autodistil keys revoke {key['id']}\n")
    assert key["id"] in listed.stdout
    assert key["prefix"] in secret
    assert secret not in listed.stdout + json.dumps(key)
    assert run("keys", "revoke", key["id"]).stdout == f"{key['id']} is revoked\n"
    assert answer(stack, "/v1/superlms", secret) == 401


def test_a_key_of_both_scopes_does_what_admins_do(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = ("keys", "create", "second admin", "--scope", "admin", "--scope", "extract", "--json")
    made = json.loads(run(*call).stdout)
    assert sorted(made["scopes"]) == ["admin", "extract"]
    monkeypatch.setenv("AUTODISTIL_API_KEY", made["key"])
    refused = run("keys", "revoke", made["id"], status=1)
    assert "the key of the request" in refused.stderr
    monkeypatch.setenv("AUTODISTIL_API_KEY", stack.key)
    run("keys", "revoke", made["id"])


def test_what_is_no_key_is_refused() -> None:
    assert "extract" in run("keys", "create", "x", "--scope", "root", status=2).stderr
    assert run("keys", "create", "", status=2).stderr.startswith("autodistil: ")
    gone = run("keys", "revoke", "01a20acd-b363-7689-96cd-06e32909419e", status=1)
    assert gone.stderr.startswith("autodistil: ")


def test_the_workers_are_listed() -> None:
    (worker,) = json.loads(run("workers", "--json").stdout)
    assert (worker["alive"], worker["device"]) == (True, DEVICE)
    listed = run("workers").stdout
    assert listed.startswith("1 worker ")
    assert worker["name"] in listed
