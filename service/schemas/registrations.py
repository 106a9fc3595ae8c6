"""Registrations: where a bundle comes from, and how far it is on its way into the catalogue."""

import datetime
from typing import Annotated, Self

from pydantic import BaseModel, Field

from autodistil.spaces.spec import Sha256
from database.tables import RegistrationRow, RegistrationState
from service.problems import Problem, problem_object
from service.registration import shown_source
from service.schemas.base import StrictRequest
from service.schemas.pages import PageQuery


class BundlePath(StrictRequest):
    """Where on the server a bundle lies."""

    path: Annotated[str, Field(min_length=1, max_length=4096, examples=["/bundles/minilm-tiny"])]


class BundleUrl(StrictRequest):
    """Where a bundle can be fetched as a tar.gz archive, and the hash of the archive."""

    url: Annotated[
        str,
        Field(
            min_length=1,
            max_length=2000,
            examples=["https://models.example.com/minilm-tiny-2.tar.gz"],
            json_schema_extra={"format": "uri"},
        ),
    ]
    sha256: Sha256


class Source(BaseModel):
    """Where a bundle comes from: a `path`, a `url`, or else an upload.

    The query of a URL is not shown, as it may be a signature. The hash is that of the archive.
    """

    path: str | None = None
    url: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None


class Registration(BaseModel):
    """A registration as it stands."""

    id: str
    state: RegistrationState
    percent: int
    attempts: int
    source: Source
    superlm: Annotated[
        str | None, Field(description="When ready, and until the SuperLM is deleted.")
    ]
    problem: Problem | None
    created_at: datetime.datetime
    finished_at: datetime.datetime | None

    @classmethod
    def of(cls, row: RegistrationRow, superlm: str | None) -> Self:
        """From its row, and the reference of the SuperLM that it led to."""
        return cls(
            id=row.id,
            state=RegistrationState(row.state),
            percent=row.percent,
            attempts=row.attempts,
            source=Source.model_validate(shown_source(row.request)),
            superlm=superlm,
            problem=Problem.model_validate(problem_object(row.problem)) if row.problem else None,
            created_at=row.created_at,
            finished_at=row.finished_at,
        )


class RegistrationQuery(PageQuery):
    """Which registrations are listed."""

    state: RegistrationState | None = None


class RegistrationList(BaseModel):
    """A page of registrations, the newest first."""

    items: list[Registration]
    next_cursor: str | None
