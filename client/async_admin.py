"""What admins do, for `async` programs."""

from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from client import calls, registering
from client.pages import PageFeed
from client.retries import RetryPolicy, ask
from client.steps import JSON, Call, Feed, Steps
from client.types import Registration

T = TypeVar("T")


class AsyncRun(Protocol):
    """Does what some logic asks for."""

    def __call__(self, steps: Steps[T]) -> Awaitable[T]:
        """What the logic comes to."""


class AsyncIterate(Protocol):
    """Goes through a feed."""

    def __call__(self, feed: Feed[T]) -> AsyncIterator[T]:
        """The items."""


class AsyncAdmin:
    """The part of a client that needs a key with the scope `admin`.

    Args:
        run: Of the client.
        iterate: Of the client.
        policy: How patient to be.
    """

    def __init__(self, run: AsyncRun, iterate: AsyncIterate, policy: RetryPolicy) -> None:
        self._run, self._iterate, self._policy = run, iterate, policy

    async def register_superlm(
        self,
        *,
        path: str | None = None,
        url: str | None = None,
        upload: str | Path | None = None,
        sha256: str | None = None,
    ) -> Registration:
        """Register a bundle; see `wait_registration` for when it is ready.

        Args:
            path: A folder on the server.
            url: Where the service fetches a tar.gz archive; needs `sha256`.
            upload: A tar.gz archive on this machine, which is sent.
            sha256: Hash of the archive; an upload that has another is not sent.

        Raises:
            InvalidInput: Not one source is named, or the archive cannot be read.
        """
        call = registering.call(path, url, upload, sha256)
        return cast(Registration, await self._ask(call))

    async def registration(self, registration_id: str) -> Registration:
        """How a registration stands."""
        return cast(Registration, await self._ask(calls.registration(registration_id)))

    async def wait_registration(self, registration_id: str, timeout: float = 600.0) -> Registration:
        """Wait until a registration is ready.

        Raises:
            ApiProblem: The bundle is refused.
            NotEndedInTime: It goes on.
        """
        return await self._run(registering.wait(registration_id, self._policy, timeout))

    async def set_alias(self, name: str, alias: str, version: int) -> JSON:
        """Point an alias of a SuperLM to a version; `name@alias` then stands for that."""
        return await self._ask(calls.set_alias(name, alias, version))

    async def delete_alias(self, name: str, alias: str) -> None:
        """Forget an alias; the version stays."""
        await self._ask(calls.delete_alias(name, alias))

    async def deprecate_superlm(self, reference: str, reason: str | None) -> JSON:
        """Say why a version should not be used any more; None takes that back."""
        return await self._ask(calls.deprecate(reference, reason))

    async def delete_superlm(self, reference: str) -> None:
        """Delete a version; refused while something needs it."""
        await self._ask(calls.delete_superlm(reference))

    async def create_api_key(self, label: str, scopes: list[str], **limits: int | None) -> JSON:
        """Make a key; the answer's `key` is shown this once.

        Args:
            label: What it is for.
            scopes: `extract`, `admin`.
            limits: `requests_per_minute`, `extractions_per_day`.
        """
        return await self._ask(calls.create_api_key(label, scopes, limits))

    def api_keys(self) -> AsyncIterator[JSON]:
        """All keys, without their secrets."""
        return self._iterate(PageFeed(calls.api_keys, self._policy))

    async def revoke_api_key(self, key_id: str) -> None:
        """Make a key invalid for good."""
        await self._ask(calls.revoke_api_key(key_id))

    async def workers(self) -> list[JSON]:
        """The workers that gave a sign of life."""
        return cast(list[JSON], (await self._ask(calls.workers()))["items"])

    def audit(self, **filters: Any) -> AsyncIterator[JSON]:
        """What admins did, the newest first."""
        return self._iterate(PageFeed(lambda cursor: calls.audit(filters, cursor), self._policy))

    async def _ask(self, call: Call) -> JSON:
        return await self._run(ask(call, self._policy))
