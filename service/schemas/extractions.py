"""Extractions."""

import datetime
from typing import Annotated, Literal, Self

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from autodistil.extraction.receipt import Receipt
from autodistil.families.architecture import Architecture
from autodistil.spaces.cost import Cost
from autodistil.spaces.embedding import Vectors
from database.tables import ArtifactRow, ExtractionRow, State
from service.problems import Problem, problem_object
from service.schemas.base import StrictRequest
from service.schemas.plans import PlanRequest, Row

Formats = Annotated[list[Literal["transformers"]], Field(min_length=1, max_length=1)]

EXTRACTION_ID = r"^[0-9a-f-]{36}$"

ExtractionId = Annotated[str, Path(pattern=EXTRACTION_ID)]
"""The id of an extraction, in a path."""


class Webhook(StrictRequest):
    """What to call when the extraction has ended."""

    url: Annotated[
        str,
        Field(
            max_length=2000,
            pattern=r"^https?://[A-Za-z0-9.:\[\]-]+([/?][\x21-\x7e]*)?$",
            examples=["https://example.com/students"],
        ),
    ]


class ExtractionRequest(PlanRequest):
    """A budget, and the formats in which the student is wanted."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"teacher": "all-MiniLM-L6-v2", "budget": {"macs": 60000000}}]
        },
    )

    formats: Formats = ["transformers"]  # noqa: RUF012 -- pydantic copies it
    vectors: Vectors = Vectors.TEACHER
    """Of students of a sentence embedder: `teacher` puts their vectors into the teacher's space, so
    that they search an index that the teacher built; `own` leaves them as narrow as the student."""
    text: Annotated[list[str], Field(max_length=100_000)] | None = None
    """Sentences of your own domain in the order of the text. The best students within the budget
    are scored anew on them, and the receipt says whether that changed the choice."""
    webhook: Webhook | None = None
    """Called when the extraction has succeeded, failed, or been canceled."""


class TextReference(BaseModel):
    """The text of a request, which is kept apart from it."""

    sha256: str
    sentences: int
    characters: int


class AcceptedRequest(PlanRequest):
    """A request as it was accepted."""

    formats: Formats
    vectors: Vectors = Vectors.TEACHER
    text: TextReference | None = None


class Artifact(BaseModel):
    """A file to download."""

    name: str
    format: str
    sha256: str
    size_bytes: int
    url: str

    @classmethod
    def of(cls, row: ArtifactRow) -> Self:
        """From its row."""
        return cls(
            name=row.name,
            format=row.format,
            sha256=row.sha256,
            size_bytes=row.size_bytes,
            url=f"/v1/extractions/{row.extraction_id}/artifacts/{row.name}",
        )


PERCENT = {
    State.QUEUED: 0,
    State.SEARCHING: 10,
    State.SLICING: 30,
    State.EXPORTING: 50,
    State.VERIFYING: 75,
    State.CANCELING: 90,
    State.SUCCEEDED: 100,
    State.FAILED: 100,
    State.CANCELED: 100,
}
"""How far an extraction is in each state."""


class Extraction(BaseModel):
    """An extraction as it stands."""

    id: str
    state: State
    percent: int
    attempts: int
    request: AcceptedRequest
    superlm: str | None
    architecture: Architecture | None
    cost: Cost | None
    receipt: Receipt | None
    artifacts: list[Artifact]
    problem: Problem | None
    created_at: datetime.datetime
    started_at: datetime.datetime | None
    finished_at: datetime.datetime | None
    deleted_at: datetime.datetime | None
    """When its artifacts were deleted."""

    @classmethod
    def of(cls, row: ExtractionRow) -> Self:
        """From its row."""
        chosen = Row.model_validate(row.choice) if row.choice else None
        state = State(row.state)
        return cls(
            id=row.id,
            state=state,
            percent=PERCENT[state],
            attempts=row.attempts,
            request=AcceptedRequest.model_validate(row.request),
            superlm=chosen.superlm if chosen else None,
            architecture=chosen.architecture if chosen else None,
            cost=chosen.cost if chosen else None,
            receipt=Receipt.model_validate(row.receipt) if row.receipt else None,
            artifacts=[Artifact.of(artifact) for artifact in row.artifacts],
            problem=Problem.model_validate(problem_object(row.problem)) if row.problem else None,
            created_at=row.created_at,
            started_at=row.started_at,
            finished_at=row.finished_at,
            deleted_at=row.deleted_at,
        )
