"""A candidate among those of all SuperLMs that a request considers."""

from typing import Any, NamedTuple

from autodistil.evaluation.candidates import Candidate
from autodistil.search.budget import LATENCY
from autodistil.spaces.cost import Cost


class Entry(NamedTuple):
    """A candidate of one SuperLM.

    Attributes:
        superlm: `name@version` of the SuperLM.
        candidate: The student's row.
        teacher: Cost of the SuperLM's teacher, of which relative limits are shares.
        latency_ms: Predicted latency under the conditions of the budget, if it limits latency.
        latency_extrapolated: Whether the student is unlike all that the device was profiled with.
    """

    superlm: str
    candidate: Candidate
    teacher: Cost
    latency_ms: float | None = None
    latency_extrapolated: bool = False

    def row(self) -> dict[str, Any]:
        """The candidate's row with its SuperLM, as JSON values."""
        row = {"superlm": self.superlm, **self.candidate.model_dump(mode="json")}
        if self.latency_ms is None:
            return row
        return {
            **row,
            "latency_ms": self.latency_ms,
            "latency_extrapolated": self.latency_extrapolated,
        }

    def value(self, axis: str) -> float:
        """What the student has of something that a budget can limit."""
        value: float | None
        value = self.latency_ms if axis == LATENCY else getattr(self.candidate, axis)
        return float("inf") if value is None else value
