"""A candidate: one student of a sub-space with its cost and its held-out signals, as a flat row."""

from collections.abc import Mapping
from typing import Any, Self, cast

from pydantic import BaseModel, ConfigDict, computed_field

from autodistil.evaluation.quality import Score, estimate_quality
from autodistil.evaluation.signals import Correlation, Loss, Signals
from autodistil.spaces.architecture import Architecture, Depth, Size, SubSpace
from autodistil.spaces.cost import Cost, cost
from autodistil.spaces.tensors import EncoderConfig


class Candidate(BaseModel):
    """One row of a candidate table. The same row stands in bundles, in the API, and in the CLI.

    The signals of `autodistil.evaluation.signals` are None before evaluation; tables of the first
    format have the relation and the similarity loss alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sub_space: str
    layers: Depth
    hidden: Size
    heads: Size
    head_width: Size
    intermediate: Size
    params: int
    macs: int
    flops: int
    size_bytes: int
    paper_params: int
    paper_macs: int
    sequence_length: int
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
        if None in (
            self.relation_loss,
            self.hidden_relation_loss,
            self.similarity_loss,
            self.neighbour_agreement,
            self.stranger_agreement,
        ):
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
        )

    @property
    def cost(self) -> Cost:
        """What it costs."""
        return Cost(**{name: getattr(self, name) for name in Cost.model_fields})

    @property
    def signals(self) -> Signals | None:
        """Its held-out signals; None before evaluation, or if some of them are missing."""
        found = {name: getattr(self, name) for name in Signals.model_fields}
        return None if None in found.values() else Signals(**found)

    def score(self, by: Score) -> float | None:
        """What a search maximises; None if the candidate was not evaluated for it."""
        if by is Score.PARAMS:
            return float(self.params)
        if by is Score.QUALITY:
            return self.quality
        if self.relation_loss is None or self.similarity_loss is None:
            return None
        return -(self.relation_loss + self.similarity_loss)

    @classmethod
    def build(
        cls,
        architecture: Architecture,
        space: SubSpace,
        encoder: EncoderConfig,
        teacher_heads: int,
        signals: Signals | None = None,
    ) -> Self:
        """A row with its cost computed, and its signals if they are known.

        Args:
            architecture: The student.
            space: Its sub-space.
            encoder: Vocabulary, positions, and token types.
            teacher_heads: Number of heads of the teacher, for the paper's counting.
            signals: From `autodistil.evaluation.evaluation`.
        """
        return cls(
            sub_space=space.name,
            **architecture.model_dump(),
            **cost(architecture, encoder, teacher_heads).model_dump(),
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
