"""The parts of an encoder, by what they do rather than by what a family calls them.

A family names its parts here; shapes, slices, checks of bundles, parameter counts and permutations
follow from what the axes of a part run over. Reading this needs no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from autodistil.families.architecture import Architecture


class Role(StrEnum):
    """What an axis of a tensor runs over, of all that students cut."""

    HIDDEN = "hidden"
    ATTENTION = "attention"
    HEADS = "heads"
    FFN = "ffn"
    VOCAB = "vocab"


Axis = Role | int
"""What an axis runs over; a number is a length that all students share."""


def axis_lengths(sizes: Architecture, vocab: int) -> dict[Role, int]:
    """How long axes are in an encoder.

    Args:
        sizes: Of the encoder.
        vocab: Its tokens, if the sizes name no vocabulary of its own.
    """
    return {
        Role.HIDDEN: sizes.hidden,
        Role.ATTENTION: sizes.attention_width,
        Role.HEADS: sizes.heads,
        Role.FFN: sizes.intermediate,
        Role.VOCAB: sizes.vocab or vocab,
    }


@dataclass(frozen=True)
class Stored:
    """One tensor of an encoder.

    Attributes:
        axes: What its axes run over.
        stacked: How many parts of these axes lie behind each other along the first one.
    """

    axes: tuple[Axis, ...]
    stacked: int = 1

    def shape(self, lengths: Mapping[Role, int]) -> tuple[int, ...]:
        """Its shape where the axes have these lengths, from `axis_lengths`."""
        own = [axis if isinstance(axis, int) else lengths[axis] for axis in self.axes]
        return (own[0] * self.stacked, *own[1:])


@dataclass(frozen=True)
class Linear:
    """A linear map, `name`.weight [out, into] and `name`.bias [out].

    Attributes:
        name: Of the module, in full.
        out: What its outputs are.
        into: What its inputs are.
        bias: Whether it has a bias.
        place: Which one it is of those that lie stacked in the same tensors.
        stacked: How many those are.
    """

    name: str
    out: Axis
    into: Axis
    bias: bool = True
    place: int = 0
    stacked: int = 1

    @property
    def stored(self) -> dict[str, Stored]:
        """Its tensors by their names."""
        found = {f"{self.name}.weight": Stored((self.out, self.into), self.stacked)}
        if self.bias:
            found[f"{self.name}.bias"] = Stored((self.out,), self.stacked)
        return found


@dataclass(frozen=True)
class Norm:
    """A LayerNorm, `name`.weight and `name`.bias, as wide as `over`."""

    name: str
    bias: bool = True
    over: Axis = Role.HIDDEN

    @property
    def stored(self) -> dict[str, Stored]:
        """Its tensors by their names."""
        kinds = ("weight", "bias") if self.bias else ("weight",)
        return {f"{self.name}.{kind}": Stored((self.over,)) for kind in kinds}


@dataclass(frozen=True)
class Table:
    """A table that is looked up by rows, `name`.weight [rows, width]."""

    name: str
    rows: Axis
    width: Axis = Role.HIDDEN

    @property
    def stored(self) -> dict[str, Stored]:
        """Its tensor by its name."""
        return {f"{self.name}.weight": Stored((self.rows, self.width))}


Part = Linear | Norm | Table


@dataclass(frozen=True)
class Embeddings:
    """What makes the first hidden states of token ids: the sum of the tables, then norm, then map.

    Attributes:
        words: Table of the tokens.
        norm: LayerNorm of the sum.
        positions: Table of the positions; None where attention alone knows of them.
        first_position: Row of a text's first token in it.
        types: Table of the token types.
        projection: Map to the hidden width, where the tables have another.
    """

    words: Table
    norm: Norm
    positions: Table | None = None
    first_position: int = 0
    types: Table | None = None
    projection: Linear | None = None

    @property
    def parts(self) -> list[Part]:
        """All parts, in a fixed order."""
        every = (self.words, self.positions, self.types, self.norm, self.projection)
        return [part for part in every if part is not None]


@dataclass(frozen=True)
class Block:
    """One layer: attention, then FFN, each added to the residual stream.

    LayerNorms stand after the sum (post-norm), or before the parts that read (pre-norm).

    Attributes:
        query: Map to the queries of all heads.
        key: Map to the keys.
        value: Map to the values.
        attention_output: Map of the context back to the residual stream.
        ffn_in: Map to the neurons.
        ffn_out: Map of the neurons back.
        gate: Map to what the neurons' activations are multiplied with, where there is one.
        before_attention: LayerNorm of what the attention reads.
        after_attention: LayerNorm of the stream after the attention was added.
        before_ffn: LayerNorm of what the FFN reads.
        after_ffn: LayerNorm of the stream after the FFN was added.
        rope_theta: Base of the rotation of queries and keys by their position; None: no rotation.
        window: Tokens to each side that a token attends to; None: all.
    """

    query: Linear
    key: Linear
    value: Linear
    attention_output: Linear
    ffn_in: Linear
    ffn_out: Linear
    gate: Linear | None = None
    before_attention: Norm | None = None
    after_attention: Norm | None = None
    before_ffn: Norm | None = None
    after_ffn: Norm | None = None
    rope_theta: float | None = None
    window: int | None = None

    @property
    def parts(self) -> list[Part]:
        """All parts, in a fixed order."""
        every = (
            *(self.before_attention, self.query, self.key, self.value),
            *(self.attention_output, self.after_attention, self.before_ffn),
            *(self.ffn_in, self.gate, self.ffn_out, self.after_ffn),
        )
        return [part for part in every if part is not None]


@dataclass(frozen=True)
class RelativePositions:
    """A bias of the attention scores by the distance between two tokens, alike in all layers.

    Attributes:
        table: By bucket of distances, a bias for every head.
        buckets: Rows of the table.
        farthest: From this distance on, all lie in the last bucket of their side.
    """

    table: Table
    buckets: int
    farthest: int = 128
