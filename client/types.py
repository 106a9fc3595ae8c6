"""What the service answers with, as type checkers see it; docs/openapi.json has all of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

State = Literal[
    "queued",
    "searching",
    "slicing",
    "exporting",
    "verifying",
    "succeeded",
    "failed",
    "canceling",
    "canceled",
]

ENDED: tuple[State, ...] = ("succeeded", "failed", "canceled")
"""States that are never left."""


class Artifact(TypedDict):
    """A file to download."""

    name: str
    format: str
    sha256: str
    size_bytes: int
    url: str


class Extraction(TypedDict):
    """An extraction as it stands."""

    id: str
    state: State
    percent: int
    attempts: int
    request: dict[str, Any]
    superlm: str | None
    architecture: dict[str, Any] | None
    cost: dict[str, Any] | None
    receipt: dict[str, Any] | None
    artifacts: list[Artifact]
    problem: dict[str, Any] | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    deleted_at: str | None


class Event(TypedDict):
    """Something that happened to an extraction.

    `id` and `at` are None where the service has no events and is asked again and again instead.
    """

    id: int | None
    kind: str
    at: str | None
    state: State
    percent: int
    problem: NotRequired[str]


class Registration(TypedDict):
    """A bundle on its way into the catalogue."""

    id: str
    state: Literal["queued", "fetching", "checking", "verifying", "evaluating", "ready", "failed"]
    percent: int
    superlm: str | None
    problem: dict[str, Any] | None


@dataclass(frozen=True)
class Student:
    """A student that was extracted and unpacked.

    Attributes:
        folder: Where it is; `transformers` loads it.
        receipt: What was handed over; `receipt.json` in the folder.
        extraction: The job.
    """

    folder: Path
    receipt: dict[str, Any]
    extraction: Extraction
