"""A candidate: one student of a sub-space with its cost and its held-out signals, as a flat row."""

from collections.abc import Mapping
from typing import Any, Self, cast

from pydantic import BaseModel, ConfigDict, computed_field

from autodistil.evaluation.quality import Score, estimate_quality
from autodistil.evaluation.signals import Correlation, Loss, Signals
from autodistil.families.architecture import Architecture, Depth, Size
from autodistil.spaces.cost import Cost

_NEEDED = ("similarity_loss", "neighbour_agreement", "stranger_agreement")
"""The signals that every teacher's students have."""


class Candidate(BaseModel):
    """One row of a candidate table. The same row stands in bundles, in the API, and in the CLI.

    The signals of `autodistil.evaluation.signals` are None before evaluation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sub_space: str
    layers: Depth
    hidden: Size
    heads: Size
    head_width: Size
    intermediate: Size
    vocab: Size | None = None
    params: int
    macs: int
    flops: int
    size_bytes: int
    paper_params: int
    paper_macs: int
    sequence_length: int
    vector_distance: Loss | None = None
    relation_loss: Loss | None = None
    hidden_relation_loss: Loss | None = None
    similarity_loss: Loss | None = None
    neighbour_agreement: Correlation | None = None
    stranger_agreement: Correlation | None = None

    @computed_field  # type: ignore[prop-decorator]  # https://github.com/python/mypy/issues/1362
    @property
    def stock(self) -> bool:
        """Whether a plain BERT implementation can hold it."""
        return self.architecture.stock

    @computed_field  # type: ignore[prop-decorator]
    @property
    def quality(self) -> float | None:
        """About the share of the teacher's score that it keeps; None before evaluation."""
        if any(getattr(self, name) is None for name in _NEEDED):
            return None
        # It has the fields of both; to build them would take most of the time of a search.
        return estimate_quality(cast(Signals, self), cast(Cost, self))

    @property
    def architecture(self) -> Architecture:
        """Its sizes."""
        return Architecture(
            layers=self.layers,
            hidden=self.hidden,
            heads=self.heads,
            head_width=self.head_width,
            intermediate=self.intermediate,
            vocab=self.vocab,
        )

    @property
    def cost(self) -> Cost:
        """What it costs."""
        return Cost(**{name: getattr(self, name) for name in Cost.model_fields})

    @property
    def signals(self) -> Signals | None:
        """Its held-out signals; None before evaluation, or if some of them are missing."""
        found = {name: getattr(self, name) for name in Signals.model_fields}
        return None if any(found[name] is None for name in _NEEDED) else Signals(**found)

    def score(self, by: Score) -> float | None:
        """What a search maximises; None if the candidate was not evaluated for it."""
        if by is Score.PARAMS:
            return float(self.params)
        if by is Score.QUALITY:
            return self.quality
        signals = self.signals
        return None if signals is None else -signals.loss

    @classmethod
    def build(
        cls,
        architecture: Architecture,
        sub_space: str,
        counted: Cost,
        signals: Signals | None = None,
    ) -> Self:
        """A row.

        Args:
            architecture: The student.
            sub_space: Name of its sub-space.
            counted: What it costs.
            signals: From `autodistil.evaluation.students`, if they are known.
        """
        return cls(
            sub_space=sub_space,
            **architecture.model_dump(),
            **counted.model_dump(),
            **(signals.model_dump() if signals else {}),
        )

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Self:
        """A candidate from a stored row, whose derived values are for readers only.

        Raises:
            ValidationError: The row is no candidate's.
        """
        known = {key: value for key, value in row.items() if key not in cls.model_computed_fields}
        return cls.model_validate(known)
