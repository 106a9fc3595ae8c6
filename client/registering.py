"""Registering a bundle, and waiting until it is ready."""

from pathlib import Path
from typing import cast

from autodistil.errors import InvalidInput
from client import calls
from client.errors import ApiProblem
from client.events import Deadline
from client.retries import RetryPolicy, ask
from client.steps import Call, Pause, Steps
from client.types import Registration

_POLL_SECONDS = 0.2


def call(path: str | None, url: str | None, upload: str | Path | None, sha256: str | None) -> Call:
    """The request for a registration.

    Raises:
        InvalidInput: Not one source is named, or one without what it needs.
    """
    if [path, url, upload].count(None) != 2:
        raise InvalidInput("Name one of path, url, and upload.")
    if upload is not None:
        return calls.upload(Path(upload), sha256)
    if (url is None) != (sha256 is None):
        raise InvalidInput("A url needs the sha256 of the archive, and a path has none.")
    return calls.register(path, url, sha256)


def wait(registration_id: str, policy: RetryPolicy, timeout: float) -> Steps[Registration]:
    """Wait until a registration is ready.

    Raises:
        ApiProblem: The bundle is refused.
        NotEndedInTime: It goes on.
    """
    deadline = Deadline(timeout, f"Registration {registration_id}")
    while True:
        answer = yield from ask(calls.registration(registration_id), policy)
        registration = cast(Registration, answer)
        if registration["state"] == "ready":
            return registration
        if registration["state"] == "failed":
            raise ApiProblem(registration["problem"] or {})
        yield Pause(deadline.left(_POLL_SECONDS))
