"""The settings of a training run. Reading them needs no torch."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]

ChannelMeasure = Literal["magnitude", "variance", "columns", "none"]
"""How the hidden channels of a teacher are ranked, see `StartSettings`."""

RelationSplit = Literal["contiguous", "strided"]
"""How vectors are split into relation heads, see `ObjectiveSettings`."""


class RelationLoss(StrEnum):
    """How two relation matrices are compared."""

    KL = "kl"
    MSE_SOFTMAX = "mse-softmax"
    MSE_SCORES = "mse-scores"


class Extreme(StrEnum):
    """A student that every step may train."""

    LARGEST = "largest"
    SMALLEST = "smallest"


class ObjectiveSettings(BaseModel):
    """What a student is asked to match.

    Attributes:
        vector_weight: Weight of the distance (1 - cosine) between a student's sentence vector,
            brought to the teacher's width by the SuperLM's map, and the teacher's.
        centred: Whether the mean of the teacher's vectors is taken out of both before they are
            compared: for teachers whose vectors all point roughly one way.
        cosine_weight: Weight of the squared error of the cosines between sentences.
        similarity_weight: Weight of the similarity loss.
        temperature: Of the similarity loss.
        relation_weight: Weight of the relation loss.
        relation_loss: Variant of the relation loss.
        relation_heads: Relation heads; must divide every attention width.
        relation_split: `contiguous` gives relation head r the r-th run of dimensions; `strided`
            every R-th dimension from the r-th on.
        relation_layers: `last` compares the last layers; `every` all of a student's layers with
            the teacher's layers that they were cut from.
        teacher_layer: The teacher's layer that a student's last one is compared with; -1: the last.
        hidden_weight: Weight of the relations between the last hidden states of tokens.
        channel_weight: Weight of the squared error of the last hidden state's kept channels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    vector_weight: Weight = 0.0
    centred: bool = False
    cosine_weight: Weight = 0.0
    similarity_weight: Weight = 1.0
    temperature: Annotated[float, Field(gt=0)] = 0.05
    relation_weight: Weight = 1.0
    relation_loss: RelationLoss = RelationLoss.KL
    relation_heads: Annotated[int, Field(ge=1)] = 16
    relation_split: RelationSplit = "contiguous"
    relation_layers: Literal["last", "every"] = "last"
    teacher_layer: Annotated[int, Field(lt=0)] = -1
    hidden_weight: Weight = 0.0
    channel_weight: Weight = 0.0

    @property
    def compares_tokens(self) -> bool:
        """Whether the teacher's layers are looked at token by token, not its sentence vectors
        alone.
        """
        return bool(self.relation_weight or self.hidden_weight or self.channel_weight)

    @property
    def measured(self) -> "ObjectiveSettings":
        """What held-out losses are measured with: the last layers by KL, as for every SuperLM."""
        return ObjectiveSettings(
            relation_heads=self.relation_heads,
            relation_split=self.relation_split,
            temperature=self.temperature,
        )


class StartSettings(BaseModel):
    """Where a SuperLM starts.

    Attributes:
        importance: How channels are ranked: `magnitude` and `variance` of the residual stream,
            `columns` greedily picks those that explain the others best, `none` keeps their order.
        permute_parts: Whether heads and FFN neurons are ranked as well.
        layers: `measured` keeps the layers without which sentence vectors stay nearest to the
            teacher's, `first` the first ones and the last, `spaced` those at equal distances; or
            the teacher's layers themselves, the most needed first. The last one must come first.
        least_squares: Whether the cut matrices are solved anew.
        ridge: Pull towards the cut weights while solving.
        calibration_batches: Batches of 64 rows of 32 slots to measure and solve on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    importance: ChannelMeasure = "magnitude"
    permute_parts: bool = True
    layers: Literal["measured", "first", "spaced"] | tuple[int, ...] = "measured"
    least_squares: bool = True
    ridge: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.1
    calibration_batches: Annotated[int, Field(ge=1, le=1024)] = 16


EMBEDDER_DEFAULTS: dict[str, object] = {
    "vector_weight": 1.0,
    "similarity_weight": 0.0,
    "relation_weight": 0.0,
    "neighbours": 1,
    "embedding_rate": 0.3,
    "batches": "own",
}
"""Where the settings of a sentence embedder's students differ from the paper's objective, unless
they are given."""


class TrainingSettings(ObjectiveSettings):
    """Everything that decides the course of a run, apart from teacher, text, and sub-space.

    Attributes:
        tokens: Tokens to see, padding not counted, over all processes.
        batch_tokens: Slots of a batch (rows x length), padding included.
        accumulate: Batches per step and process; their gradients are averaged.
        lengths: Tokens that a passage of the text may have; one is drawn for each.
        length_weights: How often each is drawn.
        neighbours: Passages that follow each other in the text and stay together in a batch.
        learning_rate: Peak rate.
        embedding_rate: Rate of the embeddings as a share of the peak rate.
        map_rate: Rate of the map to the teacher's width as a share of the peak rate.
        warmup: Share of the tokens over which the rate rises from 0.
        weight_decay: Of matrices; biases and LayerNorms have none.
        clip: Largest norm of the summed gradient.
        extremes: Students trained at every step.
        random_students: Students drawn per step beside them.
        stratified: Draw the random students one from each equal share of the space, by MACs.
        batches: `own`: every student of a step reads a batch of its own; `shared`: all read one.
        dropout: Probability of dropout on the residual stream.
        start: Where the SuperLM starts.
        precision: `bf16` runs the models in bfloat16 autocast, weights stay fp32; `auto` does where
            the processor multiplies bfloat16 faster.
        seed: Of batches and drawn students.
    """

    tokens: Annotated[int, Field(ge=0)] = 5_000_000
    batch_tokens: Annotated[int, Field(ge=64)] = 2048
    accumulate: Annotated[int, Field(ge=1, le=4096)] = 1
    lengths: tuple[int, ...] = (32, 64, 128)
    length_weights: tuple[float, ...] = (6.0, 2.0, 1.0)
    neighbours: Annotated[int, Field(ge=1)] = 8
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 3e-4
    embedding_rate: Weight = 0.1
    map_rate: Weight = 3.0
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.02
    weight_decay: Weight = 0.01
    clip: Annotated[float, Field(gt=0)] = 1.0
    extremes: tuple[Extreme, ...] = (Extreme.LARGEST, Extreme.SMALLEST)
    random_students: Annotated[int, Field(ge=0, le=1024)] = 2
    stratified: bool = False
    batches: Literal["own", "shared"] = "shared"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    start: StartSettings = StartSettings()
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    seed: int = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.lengths) != len(self.length_weights) or not self.lengths:
            raise ValueError("lengths and length_weights must be as many, and at least one")
        if min(self.lengths) < 8 or max(self.lengths) > self.batch_tokens:
            raise ValueError("lengths must be between 8 and batch_tokens")
        if min(self.length_weights) < 0 or sum(self.length_weights) <= 0:
            raise ValueError("length_weights must not be negative, nor all 0")
        if not self.extremes and not self.random_students:
            raise ValueError("a step must train at least one student: extremes or random_students")
        if len(set(self.extremes)) != len(self.extremes):
            raise ValueError("extremes must not repeat")
        return self
