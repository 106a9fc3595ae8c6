"""Bundles fetched by URL, from hosts that the operator allowed."""

import asyncio
import hashlib
from collections.abc import Callable, Collection
from pathlib import Path

import httpcore

from autodistil.errors import AutoDistilError
from worker.safe_http import AddressRefused, CheckedBackend, Resolver, check_url, resolve

_STEP_SECONDS = 30.0
_TOTAL_SECONDS = 3600.0


class UrlRefused(AutoDistilError):
    """A URL that bundles may not come from."""

    status = 422
    type = "url-refused"
    title = "Bundles are not fetched from there"


class FetchFailed(AutoDistilError):
    """A bundle that could not be fetched, or is not the one that was asked for."""

    status = 502
    type = "fetch-failed"
    title = "The bundle could not be fetched"


def check_bundle_url(url: str, hosts: Collection[str], *, development: bool) -> None:
    """Refuse a URL that bundles may not be fetched from, as far as that shows without resolving it.

    Args:
        url: What an admin gave.
        hosts: The hosts that the operator allows; none if empty.
        development: Allow http, any port, and addresses of this machine and of private networks.

    Raises:
        UrlRefused: Says what is wrong with it.
    """
    try:
        host = (check_url(url, development=development).hostname or "").rstrip(".")
    except AddressRefused as error:
        raise UrlRefused(error.detail) from error
    allowed = sorted({host.lower() for host in hosts})
    if host not in allowed:
        known = ", ".join(allowed) or "none"
        raise UrlRefused(
            f"{host} is not a host that this service fetches bundles from "
            f"(AUTODISTIL_BUNDLE_HOSTS: {known})."
        )


def fetch(
    url: str,
    sha256: str,
    target: Path,
    *,
    hosts: Collection[str],
    development: bool,
    max_bytes: int,
    on_bytes: Callable[[int, int | None], None] = lambda done, total: None,
    resolver: Resolver = resolve,
) -> None:
    """Fetch a file, in one piece and from the address that was checked. No redirect is followed.

    Args:
        url: Where it is.
        sha256: What it must have.
        target: Where it goes; after an error a part of it may lie there.
        hosts: See `check_bundle_url`.
        development: See `check_bundle_url`.
        max_bytes: The most that it may have.
        on_bytes: Called with the bytes there are and how many there will be, if that is known; may
            raise to stop.
        resolver: Finds the addresses of a name.

    Raises:
        UrlRefused: It may not be fetched from there.
        FetchFailed: It cannot be fetched, is too large, or is another file.
    """
    check_bundle_url(url, hosts, development=development)
    backend = CheckedBackend(development=development, resolver=resolver)
    try:
        found = asyncio.run(_stream(url, target, backend, max_bytes, on_bytes))
    except AddressRefused as error:
        raise UrlRefused(error.detail) from error
    except (
        *(httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException),
        TimeoutError,
    ) as error:
        # Neither the answer nor the address is told: they may be of a network that is not public.
        raise FetchFailed(f"The host gave no whole answer ({type(error).__name__}).") from error
    if found != sha256:
        raise FetchFailed("The file at the URL has another sha256 than was stated.")


async def _stream(
    url: str,
    target: Path,
    backend: CheckedBackend,
    max_bytes: int,
    on_bytes: Callable[[int, int | None], None],
) -> str:
    """Write what a URL answers with; returns its sha256."""
    steps = {"connect": _STEP_SECONDS, "read": _STEP_SECONDS, "write": _STEP_SECONDS}
    digest, done = hashlib.sha256(), 0
    async with (
        # The timeouts above are per step; a server that drips is ended by this one.
        asyncio.timeout(_TOTAL_SECONDS),
        httpcore.AsyncConnectionPool(network_backend=backend, retries=0) as pool,
        pool.stream(
            "GET",
            url,
            headers={"Accept-Encoding": "identity", "User-Agent": "autodistil"},
            extensions={"timeout": steps},
        ) as answer,
    ):
        if answer.status != 200:
            redirect = "; redirects are not followed" if 300 <= answer.status < 400 else ""
            raise FetchFailed(f"The host answered with the status {answer.status}{redirect}.")
        headers = {name.lower(): value for name, value in answer.headers}
        announced = headers.get(b"content-length", b"")
        total = int(announced) if announced.isdigit() and len(announced) < 18 else None
        with target.open("wb") as file:
            async for piece in answer.aiter_stream():
                done += len(piece)
                if max(done, total or 0) > max_bytes:
                    raise FetchFailed(f"The file has more than {max_bytes:,} bytes.")
                digest.update(piece)
                file.write(piece)
                on_bytes(done, total)
    return digest.hexdigest()
