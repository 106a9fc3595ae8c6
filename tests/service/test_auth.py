"""What keys open; that nothing is open without one is in test_keys_everywhere.py."""

import httpx

from tests.stack import Stack


def call(stack: Stack, path: str, key: str) -> httpx.Response:
    url = f"{stack.http.base_url}".rstrip("/") + path
    return httpx.get(url, headers={"Authorization": f"Bearer {key}"}, timeout=30)


def test_a_key_with_the_scope_extract_reads(stack: Stack) -> None:
    body = {"label": "product team", "scopes": ["extract"]}
    made = stack.http.post("/v1/admin/api-keys", json=body).json()
    assert call(stack, "/v1/superlms", made["key"]).status_code == 200


def test_a_revoked_key_is_refused(stack: Stack) -> None:
    made = stack.http.post("/v1/admin/api-keys", json={"label": "x", "scopes": ["admin"]}).json()
    assert call(stack, "/v1/superlms", made["key"]).status_code == 200
    assert stack.http.delete(f"/v1/admin/api-keys/{made['id']}").status_code == 204
    assert call(stack, "/v1/superlms", made["key"]).status_code == 401


def test_no_key_is_ever_shown_again(stack: Stack) -> None:
    listing = stack.http.get("/v1/admin/api-keys").text
    assert stack.key not in listing
    assert stack.key.split("_")[1] in listing


def test_a_key_cannot_revoke_itself(stack: Stack) -> None:
    made = stack.http.post("/v1/admin/api-keys", json={"label": "x", "scopes": ["admin"]}).json()
    own = {"Authorization": f"Bearer {made['key']}"}
    url = f"/v1/admin/api-keys/{made['id']}"
    assert stack.http.delete(url, headers=own).status_code == 409
    assert stack.http.delete(url).status_code == 204
