"""From a budget to a folder with a student."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from autodistil.errors import InvalidInput
from autodistil.output_folder import check_unused
from client import calls
from client.archive import unpack_into
from client.downloads import download
from client.errors import ApiProblem
from client.events import succeeded, wait_for_end
from client.progress import Watcher
from client.retries import RetryPolicy, ask
from client.steps import Steps, Work
from client.types import ENDED, Artifact, Event, Extraction, Student

_FORMAT = "transformers"


def build_request(
    budget: Mapping[str, Any],
    teacher: str | None,
    superlm: str | None,
    text: Sequence[str] | None,
) -> dict[str, Any]:
    """The body of a request.

    Args:
        budget: Limits such as `{"macs": "60M"}`, or a whole request: one with a `budget`.
        teacher: Name of a teacher.
        superlm: Reference of a SuperLM.
        text: Sentences of a domain.

    Raises:
        InvalidInput: A whole request and parts of one.
    """
    more = {"teacher": teacher, "superlm": superlm, "text": None if text is None else list(text)}
    given = {name: value for name, value in more.items() if value is not None}
    if "budget" not in budget:
        return {"budget": dict(budget), **given}
    if given:
        raise InvalidInput(f"{', '.join(given)} belong into the request, which is given whole.")
    return dict(budget)


def extract(
    request: Mapping[str, Any],
    to: Path,
    policy: RetryPolicy,
    timeout: float | None,
    on_event: Callable[[Event], None],
    watcher: Watcher,
) -> Steps[Student]:
    """Ask for a student, wait for it, and unpack it with its receipt into a folder.

    Args:
        request: The body of the request.
        to: An empty or missing folder; it is filled only when all went well.
        policy: How patient to be.
        timeout: Seconds to wait for the end of the job.
        on_event: Called with each event.
        watcher: Shows how far it is.
    """
    check_unused(to)
    to = to.resolve()  # '.' has a name then

    def tell(event: Event) -> None:
        watcher.on_event(event)
        on_event(event)

    created = yield from ask(calls.create_extraction(request, None, None), policy)
    extraction = cast(Extraction, created)
    if extraction["state"] in ENDED:
        succeeded(extraction)
    else:
        extraction = yield from wait_for_end(extraction["id"], policy, timeout, tell)
    archive = to.with_name(f".{to.name}.tar.gz")
    try:
        yield from download(_artifact(extraction), archive, policy, watcher.on_bytes)
        receipt = extraction["receipt"] or {}
        yield Work(partial(unpack_into, archive, to, receipt))
    finally:
        archive.unlink(missing_ok=True)
    return Student(folder=to, receipt=receipt, extraction=extraction)


def _artifact(extraction: Extraction) -> Artifact:
    for artifact in extraction["artifacts"]:
        if artifact["format"] == _FORMAT:
            return artifact
    raise ApiProblem(
        {
            "type": "artifact-gone",
            "status": 410,
            "detail": f"The artifacts of extraction {extraction['id']} were deleted meanwhile.",
        }
    )
