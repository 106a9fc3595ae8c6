import re
from collections.abc import Iterator

import httpx
import pytest

from service.app import create_app
from tests.stack import Stack
from worker.settings import Settings

OPEN = {"/healthz", "/readyz"}


def operations() -> Iterator[tuple[str, str]]:
    """Every operation of the API, so that a new one cannot forget to ask for a key."""
    paths = create_app(Settings()).openapi()["paths"]
    for path, methods in paths.items():
        filled = re.sub(r"\{[a-z_]*id\}", "00000000-0000-0000-0000-000000000000", path)
        filled = re.sub(r"\{\w+\}", "x", filled)
        for method in methods:
            if path not in OPEN:
                yield method.upper(), filled


def call(stack: Stack, method: str, path: str, key: str | None) -> httpx.Response:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    url = f"{stack.http.base_url}".rstrip("/") + path
    return httpx.request(method, url, headers=headers, timeout=30)


@pytest.fixture(scope="session")
def extract_key(stack: Stack) -> str:
    body = {"label": "product team", "scopes": ["extract"]}
    made = stack.http.post("/v1/admin/api-keys", json=body)
    assert made.status_code == 201
    return str(made.json()["key"])


def test_there_are_operations_to_check() -> None:
    found = set(operations())
    assert {("POST", "/v1/extractions"), ("POST", "/v1/admin/superlms")} <= found
    assert len(found) >= 11


@pytest.mark.parametrize(("method", "path"), sorted(operations()))
def test_every_operation_refuses_a_missing_or_wrong_key(
    stack: Stack, method: str, path: str
) -> None:
    for key in (None, "x", "ad_0_0", stack.key[:-1], stack.key + "x", "ad_%00_x"):
        refused = call(stack, method, path, key)
        assert refused.status_code == 401, (key, refused.text)
        assert refused.headers["www-authenticate"] == "Bearer"
        if method != "HEAD":
            assert refused.json()["type"].endswith("/unauthorized")


@pytest.mark.parametrize(
    ("method", "path"), sorted(o for o in operations() if o[1].startswith("/v1/admin"))
)
def test_every_admin_operation_refuses_a_key_without_the_scope(
    stack: Stack, extract_key: str, method: str, path: str
) -> None:
    refused = call(stack, method, path, extract_key)
    assert refused.status_code == 403
    assert refused.json()["required_scope"] == "admin"


def test_a_key_with_the_scope_extract_reads_and_plans(stack: Stack, extract_key: str) -> None:
    assert call(stack, "GET", "/v1/superlms", extract_key).status_code == 200


def test_a_revoked_key_is_refused(stack: Stack) -> None:
    made = stack.http.post("/v1/admin/api-keys", json={"label": "x", "scopes": ["admin"]}).json()
    assert call(stack, "GET", "/v1/superlms", made["key"]).status_code == 200
    assert stack.http.delete(f"/v1/admin/api-keys/{made['id']}").status_code == 204
    assert call(stack, "GET", "/v1/superlms", made["key"]).status_code == 401


def test_no_key_is_ever_shown_again(stack: Stack) -> None:
    listing = stack.http.get("/v1/admin/api-keys").text
    assert stack.key not in listing
    assert stack.key.split("_")[1] in listing
