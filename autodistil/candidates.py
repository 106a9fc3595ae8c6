"""A candidate: one student of a sub-space with its cost and its held-out losses, as a flat row."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, computed_field

from autodistil.architecture import Architecture, Depth, Size, SubSpace
from autodistil.cost import Cost, cost
from autodistil.tensors import EncoderConfig

Loss = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Candidate(BaseModel):
    """One row of a candidate table. The same row stands in bundles, in the API, and in the CLI.

    Attributes:
        relation_loss: Held-out relation loss (KL), or None before evaluation.
        similarity_loss: Held-out similarity loss, or None before evaluation.
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
    similarity_loss: Loss | None = None

    @computed_field  # type: ignore[prop-decorator]  # https://github.com/python/mypy/issues/1362
    @property
    def stock(self) -> bool:
        """Whether a plain BERT implementation can hold it."""
        return self.architecture.stock

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
        return Cost(**self.model_dump(include=set(Cost.model_fields)))

    @property
    def loss(self) -> float:
        """What a search minimises: the held-out training objective; infinite before evaluation."""
        if self.relation_loss is None or self.similarity_loss is None:
            return float("inf")
        return self.relation_loss + self.similarity_loss

    @classmethod
    def build(
        cls,
        architecture: Architecture,
        space: SubSpace,
        encoder: EncoderConfig,
        teacher_heads: int,
        losses: tuple[float, float] | None = None,
    ) -> Self:
        """A row with its cost computed, and its relation and similarity loss if known."""
        return cls(
            sub_space=space.name,
            **architecture.model_dump(),
            **cost(architecture, encoder, teacher_heads).model_dump(),
            relation_loss=losses[0] if losses else None,
            similarity_loss=losses[1] if losses else None,
        )
