"""Plans: which SuperLMs, which budget, and the choice."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from autodistil.evaluation.candidates import Candidate
from autodistil.evaluation.quality import Score
from autodistil.search.budget import Budget
from autodistil.search.choice import Choice
from autodistil.search.entry import Entry
from service.schemas.base import StrictRequest, refuse_disguised_numbers

TeacherName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$")]
SuperLMReference = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}(@([0-9]{1,7}|[a-z][a-z0-9-]{0,63}))?$")
]
"""`name`, `name@latest`, `name@version`, or `name@alias`."""


def _check_latency(budget: Any) -> Any:
    if isinstance(budget, dict):  # amounts may be text, such as 40%
        refuse_disguised_numbers(budget.get("latency"))
    return budget


class PlanRequest(StrictRequest):
    """Which SuperLMs to choose from, and the budget."""

    teacher: TeacherName | None = None
    superlm: SuperLMReference | None = None
    budget: Annotated[Budget, BeforeValidator(_check_latency)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.teacher is None) == (self.superlm is None):
            raise ValueError("name either a teacher or a superlm")
        return self


class Row(Candidate):
    """A candidate with its SuperLM, and its predicted latency if the budget limits that."""

    model_config = ConfigDict(extra="ignore")

    superlm: str
    latency_ms: float | None = None
    latency_extrapolated: bool = False

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
    warnings: list[str] = []

    @classmethod
    def of(cls, choice: Choice) -> Self:
        """From the answer of a search."""
        return cls.model_validate(choice.report())
