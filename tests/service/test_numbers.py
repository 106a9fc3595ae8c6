"""What looks like a number to Python only is refused where a body or a query asks for one."""

from typing import Any

import pytest

from tests.stack import Stack

PROFILE = "/v1/admin/devices/a/profile"
KEYS = "/v1/admin/api-keys"
PLANS = "/v1/plans"


@pytest.mark.parametrize("number", [True, False, "1", "1e3"])
def test_a_number_must_be_written_as_one(stack: Stack, number: Any) -> None:
    key = {"label": "x", "scopes": ["extract"]}
    latency = {"ms": 5, "device": "1"}
    bodies: list[tuple[str, dict[str, Any]]] = [
        (PROFILE, {"students": number}),
        (PROFILE, {"conditions": [{"batch_size": number}]}),
        (PROFILE, {"effort": {"warm_up": number}}),
        (KEYS, {**key, "requests_per_minute": number}),
        (KEYS, {**key, "extractions_per_day": number}),
        (PLANS, {"teacher": "x", "budget": {"latency": {**latency, "ms": number}}}),
        (PLANS, {"teacher": "x", "budget": {"latency": {**latency, "batch_size": number}}}),
    ]
    for path, body in bodies:
        refused = stack.http.post(path, json=body)
        assert refused.status_code == 422, body
        assert refused.json()["type"] == "/problems/invalid-request", body


def test_a_whole_number_may_be_written_with_a_point(stack: Stack) -> None:
    key = {"label": "x", "scopes": ["extract"]}
    made = stack.http.post(KEYS, json={**key, "requests_per_minute": 5.0})  # the same in JSON
    assert (made.status_code, made.json()["requests_per_minute"]) == (201, 5)
    assert stack.http.post(KEYS, json={**key, "requests_per_minute": 5.5}).status_code == 422


@pytest.mark.parametrize("time", ["0", "0.5", "1700000000", "now"])
def test_a_time_is_not_a_number(stack: Stack, time: str) -> None:
    assert stack.http.get("/v1/extractions", params={"created_before": time}).status_code == 422
