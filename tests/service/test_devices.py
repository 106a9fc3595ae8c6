"""Devices over HTTP: profiled by a real worker, and then promised nothing that was not measured."""

import time
from typing import Any

import httpx
import pytest

from client import ApiProblem, Client
from tests.stack import DEVICE, Stack

SHORT: dict[str, Any] = {"sequence_length": 8, "threads": 1}
QUICK: dict[str, Any] = {
    "conditions": [SHORT],
    "students": 6,
    "effort": {"rounds": 2, "runs": 2, "warm_up": 1},
}
TEACHER = "all-MiniLM-L6-v2"


@pytest.fixture(scope="module")
def profiled(stack: Stack) -> dict[str, Any]:
    """The worker's device, profiled by the worker."""
    url = f"/v1/admin/devices/{DEVICE}/profile"
    created = stack.http.post(url, json=QUICK)
    assert created.status_code == 202, created.text
    assert created.headers["location"] == f"/v1/devices/{DEVICE}"
    assert created.json()["state"] == "queued"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        device: dict[str, Any] = stack.http.get(created.headers["location"]).json()
        if device["state"] not in ("queued", "profiling"):
            break
        time.sleep(0.1)
    assert device["state"] == "ready", device
    return device


def plan(stack: Stack, **latency: Any) -> httpx.Response:
    budget = {"latency": {"ms": 1e5, "device": DEVICE, **SHORT, **latency}}
    return stack.http.post("/v1/plans", json={"teacher": TEACHER, "budget": budget})


def test_a_profile_tells_machine_conditions_and_how_well_it_predicts(
    stack: Stack, profiled: dict[str, Any]
) -> None:
    profile = profiled["profile"]
    assert profile["machine"]["cores"] >= 1
    assert "torch" in profile["machine"]["versions"]
    (known,) = profile["profiled"]
    assert known["conditions"] == {
        "batch_size": 1,
        "sequence_length": 8,
        "dtype": "float32",
        "runtime": "torch",
        "threads": 1,
    }
    assert len(known["samples"]) == 6
    items = stack.http.get("/v1/devices").json()["items"]
    (listed,) = (item for item in items if item["name"] == DEVICE)
    (summary,) = listed["profile"]["profiled"]
    assert summary["students"] == 6
    assert 0 < summary["least_p50_ms"] < summary["most_p50_ms"]
    assert 0 <= summary["median_error"] <= summary["p90_error"]
    assert "samples" not in summary


def test_a_plan_filters_by_prediction(stack: Stack, profiled: dict[str, Any]) -> None:
    generous = plan(stack).json()
    assert generous["feasible"] == generous["considered"]
    ms = generous["choice"]["latency_ms"]
    assert generous["limits"] == {"latency": 1e5}
    tight = plan(stack, ms=ms * 0.7).json()
    assert tight["choice"]["latency_ms"] <= ms * 0.7
    assert 0 < tight["feasible"] < generous["feasible"]


def test_an_extraction_hands_over_what_was_measured(stack: Stack, profiled: dict[str, Any]) -> None:
    job = stack.ask({"latency": {"ms": 1e5, "device": DEVICE, **SHORT}, "macs": "34M"})
    done = stack.wait(job["id"])
    assert done["state"] == "succeeded", done
    latency = done["receipt"]["latency"]
    assert latency["measured"]["p90_ms"] <= 1e5
    assert latency["measured"]["runs"] > 0
    assert latency["conditions"]["sequence_length"] == 8
    assert latency["device"] == DEVICE
    assert latency["missed"] == []
    assert done["receipt"]["limits"] == {"macs": 34_000_000, "latency": 1e5}
    assert done["request"]["budget"]["latency"]["ms"] == 1e5


def test_a_limit_below_the_fastest_student_names_latency_and_the_least_possible(
    stack: Stack, profiled: dict[str, Any]
) -> None:
    for path in ("/v1/extractions", "/v1/plans"):
        budget = {"latency": {"ms": 1e-4, "device": DEVICE, **SHORT}}
        refused = stack.http.post(path, json={"teacher": TEACHER, "budget": budget})
        assert refused.status_code == 422
        problem = refused.json()
        assert problem["type"].endswith("/infeasible-budget")
        assert problem["binding_limit"] == "latency"
        assert problem["nearest_student"]["latency_ms"] == problem["least_possible"]
    assert plan(stack, ms=problem["least_possible"]).status_code == 200


def test_unknown_devices_and_conditions_are_refused_with_what_is_known(
    stack: Stack, profiled: dict[str, Any]
) -> None:
    for device in (None, "phone"):
        refused = plan(stack, device=device)
        assert refused.status_code == 422
        assert refused.json()["type"].endswith("/unknown-device")
        assert DEVICE in refused.json()["devices"]
    for asked in ({"batch_size": 2}, {"threads": 2}, {"runtime": "onnxruntime"}):
        refused = plan(stack, **asked)
        assert refused.status_code == 422
        assert refused.json()["type"].endswith("/unprofiled-conditions")
        assert refused.json()["conditions"][0]["sequence_length"] == 8


@pytest.mark.parametrize(
    "latency",
    [
        {"ms": -1},
        {"ms": 0},
        {"ms": "fast"},
        {"device": "a/b"},
        {"device": "../x"},
        {"dtype": "float8"},
        {"runtime": "tensorrt"},
        {"runtime": "onnxruntime", "dtype": "bfloat16"},
        {"percentile": 99},
        {"batch_size": 0},
        {"sequence_length": 1e9},
        {"threads": 0},
        {"more": 1},
    ],
    ids=str,
)
def test_a_limit_that_makes_no_sense_is_a_problem(stack: Stack, latency: dict[str, Any]) -> None:
    refused = plan(stack, **latency)
    assert refused.status_code == 422
    assert refused.json()["type"].endswith("/invalid-request")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("a%2Fb", {}),
        ("UPPER", {}),
        ("-", {}),
        ("a" * 65, {}),
        ("ok", {"students": 2}),
        ("ok", {"conditions": [{"dtype": "int3"}]}),
        ("ok", {"conditions": []}),
        ("ok", {"effort": {"rounds": -1}}),
        ("ok", []),
    ],
)
def test_a_profiling_that_makes_no_sense_leaves_no_device(
    stack: Stack, name: str, body: object
) -> None:
    refused = stack.http.post(f"/v1/admin/devices/{name}/profile", json=body)
    assert refused.status_code in (404, 422)
    assert refused.headers["content-type"] == "application/problem+json"
    names = [item["name"] for item in stack.http.get("/v1/devices").json()["items"]]
    assert set(names) <= {DEVICE, "phone"}


def test_a_device_without_worker_waits_and_can_be_forgotten(stack: Stack) -> None:
    created = stack.http.post("/v1/admin/devices/phone/profile")
    assert (created.status_code, created.json()["state"]) == (202, "queued")
    assert stack.http.get("/v1/devices/phone").json()["profile"] is None
    refused = plan(stack, device="phone")
    assert refused.json()["type"].endswith("/unknown-device")
    assert stack.http.delete("/v1/admin/devices/phone").status_code == 204
    for answer in (
        stack.http.delete("/v1/admin/devices/phone"),
        stack.http.get("/v1/devices/phone"),
    ):
        assert answer.status_code == 404
        assert answer.json()["type"].endswith("/not-found")


def test_devices_are_for_keys_and_profiling_for_admins(stack: Stack) -> None:
    body = {"label": "team", "scopes": ["extract"]}
    key = stack.http.post("/v1/admin/api-keys", json=body).json()["key"]
    with httpx.Client(base_url=stack.http.base_url) as http:
        assert http.get("/v1/devices").status_code == 401
        headers = {"Authorization": f"Bearer {key}"}
        assert http.get("/v1/devices", headers=headers).status_code == 200
        for method, path in (
            ("POST", f"/v1/admin/devices/{DEVICE}/profile"),
            ("DELETE", f"/v1/admin/devices/{DEVICE}"),
        ):
            assert http.request(method, path, headers=headers).status_code == 403


def test_the_client_profiles_and_reports_progress(stack: Stack, profiled: dict[str, Any]) -> None:
    seen: list[int] = []
    with Client(str(stack.http.base_url), stack.key) as client:
        device = client.profile_device(
            DEVICE, QUICK, on_progress=lambda device: seen.append(device["percent"])
        )
        assert device["state"] == "ready"
        assert (seen == sorted(seen), seen[-1]) == (True, 100)
        assert client.device(DEVICE) == device
        assert DEVICE in [item["name"] for item in client.devices()]
        too_long = {**QUICK, "conditions": [{"sequence_length": 4096}]}
        with pytest.raises(ApiProblem, match="more than the 512 positions"):
            client.profile_device(DEVICE, too_long)
        # What was known before is still known.
        assert client.device(DEVICE)["profile"] == device["profile"]
        with pytest.raises(ApiProblem):
            client.device("../superlms")
