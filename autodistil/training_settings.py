"""The settings of a training run. Reading them needs no torch."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class RelationLoss(StrEnum):
    """How two relation matrices are compared."""

    KL = "kl"
    MSE_SOFTMAX = "mse-softmax"
    MSE_SCORES = "mse-scores"


class TrainingSettings(BaseModel):
    """Everything that decides the course of a run, apart from teacher, text, and sub-space.

    Attributes:
        tokens: Tokens to see, padding not counted.
        batch_tokens: Slots of a batch (rows x length), padding included.
        lengths: Row lengths; each step draws one, rows are filled up to it.
        length_weights: How often each is drawn.
        learning_rate: Peak rate.
        embedding_rate: Rate of the embeddings as a share of the peak rate.
        warmup: Share of the tokens over which the rate rises from 0.
        weight_decay: Of matrices; biases and LayerNorms have none.
        clip: Largest norm of the summed gradient.
        random_students: Students drawn per step beside the largest and the smallest.
        relation_loss: Variant of the relation loss.
        relation_heads: Relation heads; must divide every attention width.
        similarity_weight: Weight of the similarity loss beside the relation loss.
        temperature: Of the similarity loss.
        precision: `bf16` runs the models in bfloat16 autocast, weights stay fp32.
        seed: Of batches and drawn students.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: Annotated[int, Field(ge=0)] = 5_000_000
    batch_tokens: Annotated[int, Field(ge=64)] = 4096
    lengths: tuple[int, ...] = (32, 64, 128)
    length_weights: tuple[float, ...] = (4.0, 2.0, 1.0)
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    embedding_rate: Annotated[float, Field(ge=0)] = 0.1
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.02
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    clip: Annotated[float, Field(gt=0)] = 1.0
    random_students: Annotated[int, Field(ge=0)] = 2
    relation_loss: RelationLoss = RelationLoss.KL
    relation_heads: Annotated[int, Field(ge=1)] = 16
    similarity_weight: Annotated[float, Field(ge=0)] = 1.0
    temperature: Annotated[float, Field(gt=0)] = 0.05
    precision: Literal["fp32", "bf16"] = "bf16"
    seed: int = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.lengths) != len(self.length_weights) or not self.lengths:
            raise ValueError("lengths and length_weights must be as many, and at least one")
        if min(self.lengths) < 8 or max(self.lengths) > self.batch_tokens:
            raise ValueError("lengths must be between 8 and batch_tokens")
        if min(self.length_weights) < 0 or sum(self.length_weights) <= 0:
            raise ValueError("length_weights must not be negative, nor all 0")
        return self
