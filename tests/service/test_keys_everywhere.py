"""No operation answers without a key; generated from the OpenAPI, so that none can forget."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from service.app import create_app
from tests.stack import Stack
from worker.settings import Settings

OPEN = {"/healthz", "/readyz", "/metrics", "/problems", "/problems/{name}"}
"""What monitors and people without a key may see."""


class Operation(NamedTuple):
    """An operation with its path filled with something that need not be there."""

    id: str
    method: str
    path: str


def document() -> dict[str, Any]:
    return create_app(Settings(database_url="sqlite://")).openapi()


def operations() -> Iterator[Operation]:
    for path, methods in document()["paths"].items():
        filled = re.sub(r"\{[a-z_]*id\}", "00000000-0000-0000-0000-000000000000", path)
        filled = re.sub(r"\{\w+\}", "x", filled)
        for method, operation in methods.items():
            if path not in OPEN:
                yield Operation(operation["operationId"], method.upper(), filled)


OPERATIONS = sorted(operations())
ADMIN = [operation for operation in OPERATIONS if operation.path.startswith("/v1/admin")]
each = pytest.mark.parametrize("operation", OPERATIONS, ids=[o.id for o in OPERATIONS])
each_of_admins = pytest.mark.parametrize("operation", ADMIN, ids=[o.id for o in ADMIN])


def call(stack: Stack, operation: Operation, authorization: str | None) -> httpx.Response:
    headers = {} if authorization is None else {"Authorization": authorization}
    url = f"{stack.http.base_url}".rstrip("/") + operation.path
    return httpx.request(operation.method, url, headers=headers, timeout=30)


def make_key(stack: Stack, *scopes: str) -> dict[str, str]:
    made = stack.http.post("/v1/admin/api-keys", json={"label": "x", "scopes": list(scopes)})
    assert made.status_code == 201
    answer: dict[str, str] = made.json()
    return answer


@pytest.fixture(scope="session")
def extract_key(stack: Stack) -> str:
    return make_key(stack, "extract")["key"]


@pytest.fixture(scope="session")
def revoked_key(stack: Stack) -> str:
    made = make_key(stack, "admin", "extract")
    assert stack.http.delete(f"/v1/admin/api-keys/{made['id']}").status_code == 204
    return made["key"]


def test_all_that_is_open_is_known_and_the_rest_is_below_v1() -> None:
    assert {path for path in document()["paths"] if not path.startswith("/v1/")} <= OPEN
    assert {"create_extraction", "register_superlm", "download_artifact"} <= {
        operation.id for operation in OPERATIONS
    }
    assert len(OPERATIONS) >= 20
    assert len(ADMIN) >= 6


@each
def test_every_operation_refuses_what_is_no_valid_key(
    stack: Stack, revoked_key: str, operation: Operation
) -> None:
    wrong = [
        None,
        "",
        stack.key,
        f"Basic {stack.key}",
        "Bearer",
        "Bearer x",
        "Bearer ad_0_0",
        "Bearer ad_%00_x",
        f"Bearer {stack.key[:-1]}",
        f"Bearer {stack.key}x",
        f"Bearer {stack.key.split('_')[1]}",
        f"Bearer {revoked_key}",
    ]
    for authorization in wrong:
        refused = call(stack, operation, authorization)
        assert refused.status_code == 401, (authorization, refused.text)
        assert refused.headers["www-authenticate"] == "Bearer"
        assert refused.headers["content-type"] == "application/problem+json"
        if operation.method != "HEAD":
            assert refused.json()["type"] == "/problems/unauthorized"


@each_of_admins
def test_every_admin_operation_refuses_a_key_without_the_scope(
    stack: Stack, extract_key: str, operation: Operation
) -> None:
    refused = call(stack, operation, f"Bearer {extract_key}")
    assert refused.status_code == 403
    assert refused.json()["type"] == "/problems/forbidden"
    assert refused.json()["required_scope"] == "admin"


@each
def test_every_operation_says_how_many_requests_are_left(
    stack: Stack, extract_key: str, operation: Operation
) -> None:
    answer = call(stack, operation, f"Bearer {extract_key}")
    assert answer.status_code != 401
    assert re.fullmatch(r'"default";r=\d+;t=\d+', answer.headers["ratelimit"])
    assert re.fullmatch(r'"default";q=\d+;w=60', answer.headers["ratelimit-policy"])
