"""The catalogue."""

import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel

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
from autodistil.superlm.entries import entries_of
from database import superlms
from database.tables import SuperLMRow
from service.schemas.plans import Row


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
            "created_at": row.created_at,
        }

    @classmethod
    def of(cls, row: SuperLMRow) -> Self:
        """From its row."""
        return cls(**cls.fields_of(row))


class SuperLMDetail(SuperLMSummary):
    """A registered SuperLM with the cost of its teacher and all its students."""

    teacher_cost: Cost
    candidates: list[Row]

    @classmethod
    def of(cls, row: SuperLMRow) -> Self:
        """From its row."""
        return cls(
            **cls.fields_of(row),
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


class SuperLMList(BaseModel):
    """The catalogue."""

    items: list[SuperLMSummary]
    next_cursor: None = None
