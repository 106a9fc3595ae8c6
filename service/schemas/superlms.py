"""The catalogue."""

import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field

from autodistil.evaluation.quality import Score
from autodistil.latency.conditions import (
    DeviceName,
    HowRun,
    LatencyLimit,
    Percentile,
    Threads,
)
from autodistil.search.budget import AXES, Budget
from autodistil.search.fronts import CostAxis
from autodistil.spaces.cost import Cost
from autodistil.spaces.spec import Name
from autodistil.superlm.entries import entries_of
from database import superlms
from database.tables import SuperLMRow
from service.schemas.base import StrictRequest
from service.schemas.pages import PageQuery
from service.schemas.plans import Row, TeacherName


class Range(BaseModel):
    """The least and the most that a SuperLM's students cost."""

    least: int
    most: int


class SuperLMSummary(BaseModel):
    """A registered SuperLM."""

    superlm: str
    name: str
    version: int
    state: Literal["ready"]
    teacher: str
    sub_space: str
    head_policy: str
    students: int
    envelope: dict[str, Range]
    tokens_seen: int
    held_out_sha256: str | None
    sha256: str
    deprecated: Annotated[
        str | None, Field(description="Why it should not be used any more; null if it may be.")
    ]
    created_at: datetime.datetime

    @classmethod
    def fields_of(cls, row: SuperLMRow) -> dict[str, Any]:
        """The summary's fields, from the row."""
        spec = superlms.read_spec(row)
        return {
            "superlm": spec.reference,
            "name": row.name,
            "version": row.version,
            "state": "ready",
            "teacher": spec.teacher.name,
            "sub_space": spec.space.name,
            "head_policy": spec.space.head_policy,
            "students": len(row.candidates),
            "envelope": {
                axis: Range(
                    least=min(candidate[axis] for candidate in row.candidates),
                    most=max(candidate[axis] for candidate in row.candidates),
                )
                for axis in AXES
            },
            "tokens_seen": spec.provenance.tokens_seen,
            "held_out_sha256": spec.provenance.held_out_sha256,
            "sha256": row.sha256,
            "deprecated": row.deprecated,
            "created_at": row.created_at,
        }

    @classmethod
    def of(cls, row: SuperLMRow) -> Self:
        """From its row."""
        return cls(**cls.fields_of(row))


class SuperLMDetail(SuperLMSummary):
    """A registered SuperLM with the cost of its teacher and all its students."""

    aliases: Annotated[
        dict[str, int], Field(description="Aliases of the name, and the versions they point to.")
    ]
    teacher_cost: Cost
    candidates: list[Row]

    @classmethod
    def describe(cls, row: SuperLMRow, aliases: dict[str, int]) -> Self:
        """From its row, and the aliases of its name."""
        return cls(
            **cls.fields_of(row),
            aliases=aliases,
            teacher_cost=superlms.read_spec(row).teacher_cost,
            candidates=[Row.of(entry) for entry in entries_of([superlms.opened(row)])],
        )


class FrontierQuery(HowRun):
    """Which front is wanted; all but `x` and `score` belong to `x=latency`."""

    x: CostAxis = CostAxis.MACS
    score: Score = Score.QUALITY
    device: DeviceName | None = None
    percentile: Percentile = 90
    threads: Threads | None = None

    def latency_budget(self) -> Budget | None:
        """A budget that says how latencies are predicted, if they are asked for."""
        if self.x is not CostAxis.LATENCY:
            return None
        own = self.model_dump(exclude={"x", "score"})
        return Budget(latency=LatencyLimit(ms=1, **own))  # any limit: what counts is the rest


class Frontier(BaseModel):
    """The students of a SuperLM than which none is both better and cheaper, the cheapest first."""

    superlm: str
    x: CostAxis
    y: Score
    items: list[Row]


class SuperLMQuery(PageQuery):
    """Which SuperLMs are listed: those that meet all that is given."""

    cursor: Annotated[
        str | None,
        Field(
            pattern=r"^[a-z0-9][a-z0-9._-]{0,63}@[0-9]{1,7}$",
            description="`next_cursor` of the page before.",
        ),
    ] = None
    teacher: TeacherName | None = None
    name: Name | None = None
    deprecated: bool | None = None

    @property
    def after(self) -> tuple[str, int] | None:
        """Name and version that the page before ended with."""
        name, _, version = (self.cursor or "").partition("@")
        return (name, int(version)) if version else None


class SuperLMList(BaseModel):
    """A page of the catalogue, by name and version."""

    items: list[SuperLMSummary]
    next_cursor: str | None


class DeprecationRequest(StrictRequest):
    """Why a version should not be used any more."""

    deprecated: Annotated[
        str | None, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f]+$")
    ]
