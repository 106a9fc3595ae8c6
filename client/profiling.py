"""Having a device profiled, and waiting until it is."""

from collections.abc import Callable, Mapping
from typing import Any

from client import calls
from client.errors import ApiProblem
from client.events import Deadline
from client.retries import RetryPolicy, ask
from client.steps import JSON, Pause, Steps

_POLL_SECONDS = 1.0


def profile_device(
    name: str,
    request: Mapping[str, Any],
    policy: RetryPolicy,
    timeout: float,
    on_progress: Callable[[JSON], None],
) -> Steps[JSON]:
    """Have a device profiled; the device when it is ready.

    Raises:
        ApiProblem: The profiling failed.
        NotEndedInTime: It goes on.
    """
    yield from ask(calls.profile_device(name, request), policy)
    deadline = Deadline(
        timeout, f"The profiling of {name} (by a worker with that AUTODISTIL_DEVICE)"
    )
    while True:
        device = yield from ask(calls.device(name), policy)
        on_progress(device)
        if device["state"] == "ready":
            return device
        if device["state"] == "failed":
            raise ApiProblem(device["problem"])
        yield Pause(deadline.left(_POLL_SECONDS))
