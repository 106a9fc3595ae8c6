"""Requests and answers of the API."""

import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from autodistil.evaluation.candidates import Candidate
from autodistil.evaluation.quality import Score
from autodistil.extraction.receipt import Receipt
from autodistil.latency.conditions import (
    DeviceName,
    HowRun,
    LatencyLimit,
    Percentile,
    Threads,
)
from autodistil.search.budget import AXES, Budget
from autodistil.search.fronts import CostAxis
from autodistil.search.search import Choice, Entry
from autodistil.spaces.architecture import Architecture
from autodistil.spaces.cost import Cost
from autodistil.superlm.entries import entries_of
from database import superlms
from database.tables import ApiKeyRow, ArtifactRow, ExtractionRow, State, SuperLMRow
from service.problems import Problem, problem_object

TeacherName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$")]
SuperLMReference = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}(@(latest|[0-9]{1,7}))?$")
]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PlanRequest(_Request):
    """Which SuperLMs to choose from, and the budget."""

    teacher: TeacherName | None = None
    superlm: SuperLMReference | None = None
    budget: Budget

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.teacher is None) == (self.superlm is None):
            raise ValueError("name either a teacher or a superlm")
        return self


Formats = Annotated[list[Literal["transformers"]], Field(min_length=1, max_length=1)]


class ExtractionRequest(PlanRequest):
    """A budget, and the formats in which the student is wanted."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"teacher": "all-MiniLM-L6-v2", "budget": {"macs": 60000000}}]
        },
    )

    formats: Formats = ["transformers"]
    text: Annotated[list[str], Field(max_length=100_000)] | None = None
    """Sentences of your own domain in the order of the text. The best students within the budget
    are scored anew on them, and the receipt says whether that changed the choice."""


class TextReference(BaseModel):
    """The text of a request, which is kept apart from it."""

    sha256: str
    sentences: int
    characters: int


class AcceptedRequest(PlanRequest):
    """A request as it was accepted."""

    formats: Formats
    text: TextReference | None = None


class Row(Candidate):
    """A candidate with its SuperLM, and its predicted latency if the budget limits that."""

    model_config = ConfigDict(extra="ignore")

    superlm: str
    latency_ms: float | None = None

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """From an entry of a search."""
        return cls.model_validate(entry.row())


class Neighbours(BaseModel):
    """What another budget would give."""

    cheaper: Row | None
    better: Row | None


class Plan(BaseModel):
    """The dry run of an extraction."""

    choice: Row
    limits: dict[str, int | float]
    feasible: int
    considered: int
    score: Score
    neighbours: Neighbours

    @classmethod
    def of(cls, choice: Choice) -> Self:
        """From the answer of a search."""
        return cls.model_validate(choice.report())


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


_PERCENT = {
    State.QUEUED: 0,
    State.SEARCHING: 10,
    State.SLICING: 30,
    State.EXPORTING: 50,
    State.VERIFYING: 75,
    State.CANCELING: 90,
}


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

    @classmethod
    def of(cls, row: ExtractionRow) -> Self:
        """From its row."""
        chosen = Row.model_validate(row.choice) if row.choice else None
        state = State(row.state)
        return cls(
            id=row.id,
            state=state,
            percent=_PERCENT.get(state, 100),
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
        )


class ExtractionList(BaseModel):
    """A page of extractions, the newest first."""

    items: list[Extraction]
    next_cursor: str | None


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


class RegistrationRequest(_Request):
    """Where on the server a bundle lies."""

    path: Annotated[str, Field(min_length=1, max_length=4096)]


class ApiKeyRequest(_Request):
    """A key to make."""

    label: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+$")]
    scopes: Annotated[list[Literal["extract", "admin"]], Field(min_length=1, max_length=2)]


class ApiKey(BaseModel):
    """A key without its secret."""

    id: str
    prefix: str
    label: str
    scopes: list[str]
    created_at: datetime.datetime
    revoked_at: datetime.datetime | None

    @classmethod
    def fields_of(cls, row: ApiKeyRow) -> dict[str, Any]:
        """The fields, from the row."""
        return {name: getattr(row, name) for name in ApiKey.model_fields}


class NewApiKey(ApiKey):
    """A key just made, with the secret that is shown this once."""

    key: str


class ApiKeyList(BaseModel):
    """All keys."""

    items: list[ApiKey]
    next_cursor: None = None


class Health(BaseModel):
    """Whether the parts of the service answer."""

    status: Literal["ok", "unavailable"]
    checks: dict[str, str]
