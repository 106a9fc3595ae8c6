"""Every request that the client makes, as data."""

import base64
import hashlib
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from autodistil.errors import InvalidInput
from client.steps import Call

_EXTRACTIONS = "/v1/extractions"
_ADMIN = "/v1/admin"


def superlms() -> Call:
    """The catalogue."""
    return Call("GET", "/v1/superlms")


def superlm(reference: str) -> Call:
    """A SuperLM with its students."""
    return Call("GET", f"/v1/superlms/{_part(reference)}")


def frontier(reference: str, x: str, conditions: Mapping[str, Any]) -> Call:
    """The students than which none is both better and cheaper."""
    params = {"x": x, **conditions}
    return Call("GET", f"/v1/superlms/{_part(reference)}/frontier", params=params)


def devices() -> Call:
    """The devices."""
    return Call("GET", "/v1/devices")


def device(name: str) -> Call:
    """A device with its profile."""
    return Call("GET", f"/v1/devices/{_part(name)}")


def plan(request: Mapping[str, Any]) -> Call:
    """The dry run of an extraction."""
    return Call("POST", "/v1/plans", body=request)


def create_extraction(
    request: Mapping[str, Any], idempotency_key: str | None, wait: int | None
) -> Call:
    """A request for a student, which is safe to repeat."""
    headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
    if wait:
        headers["Prefer"] = f"wait={wait}"
    return Call("POST", _EXTRACTIONS, body=request, headers=headers, extra_seconds=wait or 0)


def extraction(extraction_id: str) -> Call:
    """An extraction."""
    return Call("GET", f"{_EXTRACTIONS}/{_part(extraction_id)}")


def extractions(filters: Mapping[str, Any], cursor: str | None) -> Call:
    """A page of extractions."""
    return _page(_EXTRACTIONS, filters, cursor)


def cancel(extraction_id: str) -> Call:
    """Stop an extraction."""
    return Call("POST", f"{_EXTRACTIONS}/{_part(extraction_id)}/cancel")


def delete_artifacts(extraction_id: str) -> Call:
    """Delete the artifacts of an extraction."""
    return Call("DELETE", f"{_EXTRACTIONS}/{_part(extraction_id)}/artifacts")


def events(extraction_id: str, after: int | None) -> Call:
    """The events of an extraction after one."""
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    if after is not None:
        headers["Last-Event-ID"] = str(after)
    return Call("GET", f"{_EXTRACTIONS}/{_part(extraction_id)}/events", headers=headers)


def download(url: str, sha256: str, offset: int) -> Call:
    """A file from a byte on."""
    headers = {"Accept-Encoding": "identity"}
    if offset:
        headers |= {"Range": f"bytes={offset}-", "If-Range": f'"{sha256}"'}
    return Call("GET", url, headers=headers)


def profile_device(name: str, request: Mapping[str, Any]) -> Call:
    """Have a device profiled."""
    path = f"{_ADMIN}/devices/{_part(name)}/profile"
    return Call("POST", path, body=request, repeatable=False)


def register(path: str | None, url: str | None, sha256: str | None) -> Call:
    """Register a bundle that the service finds itself; the same again does no harm."""
    body = {"path": path} if path is not None else {"url": url, "sha256": sha256}
    return Call("POST", f"{_ADMIN}/superlms", body=body)


def upload(archive: Path, sha256: str | None) -> Call:
    """Register a bundle that is sent; the same again does no harm.

    Raises:
        InvalidInput: The archive cannot be read, or has another hash.
    """
    try:
        with archive.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        size = archive.stat().st_size
    except OSError as error:
        raise InvalidInput(f"{archive} cannot be read: {error.strerror}.") from error
    if sha256 is not None and digest.hexdigest() != sha256.lower():
        raise InvalidInput(f"{archive} has the sha256 {digest.hexdigest()}, not {sha256}.")
    headers = {
        "Content-Type": "application/gzip",
        "Content-Length": str(size),
        "Repr-Digest": f"sha-256=:{base64.b64encode(digest.digest()).decode()}:",
    }
    return Call("POST", f"{_ADMIN}/uploads", file=archive, headers=headers)


def registration(registration_id: str) -> Call:
    """A registration."""
    return Call("GET", f"{_ADMIN}/registrations/{_part(registration_id)}")


def set_alias(name: str, alias: str, version: int) -> Call:
    """Point an alias to a version."""
    return Call("PUT", _alias(name, alias), body={"version": version})


def delete_alias(name: str, alias: str) -> Call:
    """Forget an alias."""
    return Call("DELETE", _alias(name, alias))


def deprecate(reference: str, reason: str | None) -> Call:
    """Say that a version should not be used any more, or that it may be."""
    path = f"{_ADMIN}/superlms/{_part(reference)}"
    return Call("PATCH", path, body={"deprecated": reason})


def delete_superlm(reference: str) -> Call:
    """Delete a version."""
    return Call("DELETE", f"{_ADMIN}/superlms/{_part(reference)}")


def create_api_key(label: str, scopes: list[str], limits: Mapping[str, Any]) -> Call:
    """Make a key; twice would make two."""
    body = {"label": label, "scopes": scopes, **limits}
    return Call("POST", f"{_ADMIN}/api-keys", body=body, repeatable=False)


def api_keys(cursor: str | None) -> Call:
    """A page of keys."""
    return _page(f"{_ADMIN}/api-keys", {}, cursor)


def revoke_api_key(key_id: str) -> Call:
    """Make a key invalid."""
    return Call("DELETE", f"{_ADMIN}/api-keys/{_part(key_id)}")


def workers() -> Call:
    """The workers."""
    return Call("GET", f"{_ADMIN}/workers")


def audit(filters: Mapping[str, Any], cursor: str | None) -> Call:
    """A page of what admins did."""
    return _page(f"{_ADMIN}/audit", filters, cursor)


def _page(path: str, filters: Mapping[str, Any], cursor: str | None) -> Call:
    return Call("GET", path, params={**filters, **({"cursor": cursor} if cursor else {})})


def _alias(name: str, alias: str) -> str:
    return f"{_ADMIN}/superlms/{_part(name)}/aliases/{_part(alias)}"


def _part(text: str) -> str:
    """A part of a path, which cannot lead out of it.

    Raises:
        InvalidInput: It is empty or all dots: it would stand for another part of the path.
    """
    if not text.strip("."):
        raise InvalidInput(f"{text!r} is no name or id.")
    return quote(text, safe="@")
