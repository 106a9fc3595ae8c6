"""What admins do: register and retire SuperLMs, make keys, look at workers and the audit trail."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from client import calls, registering
from client.pages import PageFeed
from client.retries import RetryPolicy, ask
from client.steps import JSON, Call, Feed, Steps
from client.types import Registration

T = TypeVar("T")


class Run(Protocol):
    """Does what some logic asks for."""

    def __call__(self, steps: Steps[T]) -> T:
        """What the logic comes to."""


class Iterate(Protocol):
    """Goes through a feed."""

    def __call__(self, feed: Feed[T]) -> Iterator[T]:
        """The items."""


class Admin:
    """The part of a client that needs a key with the scope `admin`.

    Args:
        run: Of the client.
        iterate: Of the client.
        policy: How patient to be.
    """

    def __init__(self, run: Run, iterate: Iterate, policy: RetryPolicy) -> None:
        self._run, self._iterate, self._policy = run, iterate, policy

    def register_superlm(
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
        return cast(Registration, self._ask(call))

    def registration(self, registration_id: str) -> Registration:
        """How a registration stands."""
        return cast(Registration, self._ask(calls.registration(registration_id)))

    def wait_registration(self, registration_id: str, timeout: float = 600.0) -> Registration:
        """Wait until a registration is ready.

        Raises:
            ApiProblem: The bundle is refused.
            NotEndedInTime: It goes on.
        """
        return self._run(registering.wait(registration_id, self._policy, timeout))

    def set_alias(self, name: str, alias: str, version: int) -> JSON:
        """Point an alias of a SuperLM to a version; `name@alias` then stands for that."""
        return self._ask(calls.set_alias(name, alias, version))

    def delete_alias(self, name: str, alias: str) -> None:
        """Forget an alias; the version stays."""
        self._ask(calls.delete_alias(name, alias))

    def deprecate_superlm(self, reference: str, reason: str | None) -> JSON:
        """Say why a version should not be used any more; None takes that back."""
        return self._ask(calls.deprecate(reference, reason))

    def delete_superlm(self, reference: str) -> None:
        """Delete a version; refused while something needs it."""
        self._ask(calls.delete_superlm(reference))

    def create_api_key(self, label: str, scopes: list[str], **limits: int | None) -> JSON:
        """Make a key; the answer's `key` is shown this once.

        Args:
            label: What it is for.
            scopes: `extract`, `admin`.
            limits: `requests_per_minute`, `extractions_per_day`.
        """
        return self._ask(calls.create_api_key(label, scopes, limits))

    def api_keys(self) -> Iterator[JSON]:
        """All keys, without their secrets."""
        return self._iterate(PageFeed(calls.api_keys, self._policy))

    def revoke_api_key(self, key_id: str) -> None:
        """Make a key invalid for good."""
        self._ask(calls.revoke_api_key(key_id))

    def workers(self) -> list[JSON]:
        """The workers that gave a sign of life."""
        return cast(list[JSON], self._ask(calls.workers())["items"])

    def audit(self, **filters: Any) -> Iterator[JSON]:
        """What admins did, the newest first."""
        return self._iterate(PageFeed(lambda cursor: calls.audit(filters, cursor), self._policy))

    def _ask(self, call: Call) -> JSON:
        return self._run(ask(call, self._policy))
