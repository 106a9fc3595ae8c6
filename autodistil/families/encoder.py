"""What all families have in common: an encoder's config, from which its tensors follow."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from autodistil.families.architecture import Architecture, Size
from autodistil.families.parts import (
    Block,
    Embeddings,
    Linear,
    Norm,
    Part,
    RelativePositions,
    Role,
    Stored,
    axis_lengths,
)

Activation = Literal["gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu"]


class EncoderConfig(BaseModel, ABC):
    """What every student shares with the teacher, whatever its sizes; a family is a subclass.

    Attributes:
        family: The family's name, which is its `model_type` in `transformers`.
        vocab_size: Tokens that it has embeddings of.
        max_position_embeddings: Positions as the family counts them.
        hidden_act: Activation of the FFN.
        layer_norm_eps: Epsilon of the LayerNorms.
        pad_token_id: The token that fills up batches.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers_prefix: ClassVar[str] = "encoder.layer."
    """What the names of a layer's tensors begin with, before its number."""
    kept_first: ClassVar[tuple[int, ...]] = ()
    """Layers of a teacher that every student keeps, beside the last."""
    head_width_is_fixed: ClassVar[bool] = False
    """Whether a head's dimensions have places of their own, so that none can be cut or mixed."""

    has_onnx_graph: ClassVar[bool] = True
    """Whether its students can be written as ONNX: LayerNorm after the sums, no gate, no window."""

    family: str
    vocab_size: Size
    max_position_embeddings: Size
    hidden_act: Activation
    layer_norm_eps: Annotated[float, Field(gt=0, lt=1)]
    pad_token_id: Annotated[int, Field(strict=True, ge=0)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.pad_token_id >= self.vocab_size:
            raise ValueError(f"pad_token_id must be less than the vocab_size {self.vocab_size}")
        return self

    @property
    @abstractmethod
    def model_class(self) -> str:
        """Class of `transformers` that holds its stock students."""

    @classmethod
    @abstractmethod
    def read(cls, config: Mapping[str, Any]) -> tuple[Architecture, Self]:
        """The sizes and the rest of a model, from its `config.json`.

        Raises:
            KeyError, ValueError, TypeError, ArithmeticError: The config is damaged, or no SuperLM
                can be cut from such a model.
        """

    @property
    @abstractmethod
    def embeddings(self) -> Embeddings:
        """The parts before the first layer."""

    @abstractmethod
    def block(self, layer: int) -> Block:
        """The parts of a layer."""

    @property
    def final_norm(self) -> Norm | None:
        """LayerNorm after the last layer."""
        return None

    @property
    def pooler(self) -> Linear | None:
        """Map of the first token's last hidden state, before a tanh."""
        return None

    @property
    def relative_positions(self) -> RelativePositions | None:
        """Bias of the attention scores, where there is one."""
        return None

    @property
    def token_types(self) -> int:
        """Token types that it knows; 0 where it has no embeddings of them."""
        types = self.embeddings.types
        return types.rows if types is not None and isinstance(types.rows, int) else 0

    @property
    def least_layers(self) -> int:
        """Layers that a student has at least: the last, and those of `kept_first`."""
        return 1 + len(self.kept_first)

    @property
    def positions(self) -> int:
        """Tokens of a text that it can read."""
        return self.max_position_embeddings - self.embeddings.first_position

    def check_width(self, hidden: int) -> None:
        """Refuse a width that no student of this family can have.

        Args:
            hidden: The width of a student.

        Raises:
            InvalidInput: It is one.
        """

    @abstractmethod
    def student_config(self, architecture: Architecture) -> dict[str, Any]:
        """What the `config.json` of a student says of its sizes and of what it shares."""

    def keep_layers(self, layers: Sequence[int]) -> Self:
        """The config of an encoder that has some of the layers."""
        del layers  # where all layers are of one kind
        return self

    def check_layers(self, layers: int) -> None:
        """Refuse a number of layers that the config does not describe.

        Raises:
            ValueError: It has fewer.
        """

    def tensors(self, layers: int) -> Mapping[str, Stored]:
        """Every tensor of an encoder of so many layers, in a fixed order."""
        return _tensors(self, layers)

    def shapes(self, architecture: Architecture) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor of an encoder of these sizes, in a fixed order."""
        lengths = axis_lengths(architecture, self.vocab_size)
        tensors = self.tensors(architecture.layers)
        return {name: stored.shape(lengths) for name, stored in tensors.items()}

    def source(self, name: str, layers: Sequence[int]) -> str:
        """What a student's tensor is called in the encoder it is cut from.

        Args:
            name: The student's name of it.
            layers: For every layer of the student the one it is cut from.
        """
        if not name.startswith(self.layers_prefix):
            return name
        number, part = name.removeprefix(self.layers_prefix).split(".", 1)
        return f"{self.layers_prefix}{layers[int(number)]}.{part}"


@lru_cache(maxsize=256)
def _tensors(encoder: EncoderConfig, layers: int) -> Mapping[str, Stored]:
    """See `EncoderConfig.tensors`; kept, since costs ask for it student after student."""
    relative = encoder.relative_positions
    parts: list[Part] = [*encoder.embeddings.parts]
    for layer in range(layers):
        parts += encoder.block(layer).parts
    last = (relative and relative.table, encoder.final_norm, encoder.pooler)
    parts += [part for part in last if part]
    return {name: stored for part in parts for name, stored in part.stored.items()}


def read_sizes(
    config: Mapping[str, Any],
    layers: str = "num_hidden_layers",
    hidden: str = "hidden_size",
    heads: str = "num_attention_heads",
    intermediate: str = "intermediate_size",
) -> Architecture:
    """The sizes of a model, from its `config.json`.

    Args:
        config: The content.
        layers: What the family calls the number of layers there; the others likewise.
        hidden: The hidden width.
        heads: The number of heads.
        intermediate: The width of the FFN.

    Raises:
        KeyError, ValueError, TypeError, ArithmeticError: The config is damaged, or the heads do not
            divide the width.
    """
    width, count = int(config[hidden]), int(config[heads])
    if count < 1 or width % count:
        raise ValueError(f"hidden {width} is not a multiple of {count} heads")
    return Architecture(
        layers=config[layers],
        hidden=width,
        heads=count,
        head_width=width // count,
        intermediate=config[intermediate],
    )


def post_norm_block(names: Mapping[str, str], prefix: str) -> Block:
    """A layer in the form of BERT: LayerNorm after each sum, maps with biases.

    Args:
        names: What the family calls the parts of `Block`, behind the prefix.
        prefix: The layer's, with a dot at its end.
    """

    def linear(part: str, out: Role, into: Role) -> Linear:
        return Linear(prefix + names[part], out, into)

    return Block(
        query=linear("query", Role.ATTENTION, Role.HIDDEN),
        key=linear("key", Role.ATTENTION, Role.HIDDEN),
        value=linear("value", Role.ATTENTION, Role.HIDDEN),
        attention_output=linear("attention_output", Role.HIDDEN, Role.ATTENTION),
        after_attention=Norm(prefix + names["after_attention"]),
        ffn_in=linear("ffn_in", Role.FFN, Role.HIDDEN),
        ffn_out=linear("ffn_out", Role.HIDDEN, Role.FFN),
        after_ffn=Norm(prefix + names["after_ffn"]),
    )
