"""What both clients set up alike: where the service is, and what its answers and errors mean."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx

import autodistil
from autodistil.errors import InvalidInput
from client.errors import Disconnected, ServiceUnreachable
from client.steps import Answer, Call

_CHUNK_BYTES = 1 << 18

_CONNECT_SECONDS = 5.0
_DEFAULT_URL = "http://127.0.0.1:8000"


class Place(NamedTuple):
    """Where a service is, and who asks."""

    url: str
    api_key: str


def place_of_environment() -> Place:
    """The service of AUTODISTIL_URL with the key of AUTODISTIL_API_KEY.

    Raises:
        InvalidInput: There is no key.
    """
    api_key = os.environ.get("AUTODISTIL_API_KEY", "")
    if not api_key:
        raise InvalidInput(
            "Set AUTODISTIL_API_KEY; 'autodistil up' writes one to admin-key in its data folder."
        )
    return Place(os.environ.get("AUTODISTIL_URL") or _DEFAULT_URL, api_key)


def client_options(place: Place, timeout: float) -> dict[str, Any]:
    """Arguments of both kinds of httpx clients.

    Args:
        place: The service.
        timeout: Seconds to wait for an answer.
    """
    return {
        "base_url": place.url,
        "headers": {
            "Authorization": f"Bearer {place.api_key}",
            "User-Agent": f"autodistil/{autodistil.__version__}",
        },
        "timeout": httpx.Timeout(timeout, connect=min(timeout, _CONNECT_SECONDS)),
    }


def request_options(
    call: Call, timeout: httpx.Timeout, read: float | None = None
) -> dict[str, Any]:
    """Arguments of both kinds of `build_request`.

    Args:
        call: The request.
        timeout: Of the client.
        read: Seconds without a byte, in place of the client's.
    """
    given = dict(timeout.as_dict())
    usual = timeout.read or 0.0
    given["read"] = usual + call.extra_seconds if read is None else read
    return {
        "method": call.method,
        "url": call.path,
        "params": dict(call.params) or None,
        "headers": dict(call.headers),
        "json": call.body,
        "timeout": httpx.Timeout(**given),
    }


def file_chunks(path: Path) -> Iterator[bytes]:
    """The content of a file, a chunk at a time."""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def answer_of(response: httpx.Response, source: Any = None) -> Answer:
    """An answer as the client's logic takes it."""
    body = b"" if source is not None else response.content
    return Answer(response.status_code, response.headers, body, source)


def translated(error: Exception, url: httpx.URL) -> Exception:
    """An error of httpx as the client's logic takes it: one to be tried again, or one for good."""
    detail = (
        f"No usable answer from {url} ({type(error).__name__}: {error}). "
        "Is the service running? Start one with 'autodistil up'."
    )
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.TooManyRedirects)):
        return ServiceUnreachable(detail)
    unsent = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
    return Disconnected(detail, sent=not isinstance(error, unsent))


def unusable(error: Exception) -> InvalidInput:
    """What a URL or key that no request can be made with is answered with."""
    return InvalidInput(f"The URL or API key cannot be used: {error}.")
