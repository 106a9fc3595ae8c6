"""The sizes of an encoder, and of one of its layers, in integers."""

import re
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from autodistil.errors import InvalidInput

Size = Annotated[int, Field(strict=True, gt=0, le=1 << 20)]
"""A positive count; the upper bound keeps products of sizes far from overflow in any consumer."""

MAX_LAYERS = 1000
"""No encoder comes near; it bounds whatever runs over layers or tensors."""
Depth = Annotated[int, Field(strict=True, gt=0, le=MAX_LAYERS)]
"""A number of layers."""

_NAME = re.compile(
    r"L(\d{1,4})-H(\d{1,7})-A(\d{1,7})x(\d{1,7})-F(\d{1,7})(?:-V(\d{1,7}))?", re.ASCII
)


class Architecture(BaseModel):
    """The sizes of one encoder. A value: hashable, and passed along rather than set on modules.

    Attributes:
        layers: Number of layers.
        hidden: Width of the residual stream.
        heads: Attention heads of a layer.
        head_width: Width of a head.
        intermediate: Width of the FFN.
        vocab: Tokens that it has embeddings of, the most frequent ones of the SuperLM's vocabulary;
            None: all of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: Depth
    hidden: Size
    heads: Size
    head_width: Size
    intermediate: Size
    vocab: Size | None = None

    @property
    def attention_width(self) -> int:
        """Width of the concatenated queries, keys, or values of a layer."""
        return self.heads * self.head_width

    @property
    def stock(self) -> bool:
        """Whether a plain BERT implementation can hold it (head width = hidden / heads)."""
        return self.attention_width == self.hidden

    @property
    def name(self) -> str:
        """For example `L4-H128-A4x32-F448`, or with a vocabulary of its own
        `L4-H128-A4x32-F448-V8000`; `Architecture.parse` reads it back.
        """
        sizes = (
            f"L{self.layers}-H{self.hidden}-A{self.heads}x{self.head_width}-F{self.intermediate}"
        )
        return sizes if self.vocab is None else f"{sizes}-V{self.vocab}"

    @classmethod
    def parse(cls, name: str) -> Self:
        """Read an architecture from its name.

        Raises:
            InvalidInput: The name is not of the form `L4-H128-A4x32-F448`.
        """
        match = _NAME.fullmatch(name)
        sizes = [int(group) for group in match.groups() if group] if match else []
        if not sizes or min(sizes) < 1 or max(sizes) > 1 << 20 or sizes[0] > MAX_LAYERS:
            raise InvalidInput(
                f"{name[:200]!r} is not an architecture; write layers ({MAX_LAYERS} at most), "
                "hidden, heads x head width and FFN width, as in L4-H128-A4x32-F448, and the "
                "number of tokens if it has a vocabulary of its own, as in "
                "L4-H128-A4x32-F448-V8000."
            )
        layers, hidden, heads, head_width, intermediate = sizes[:5]
        return cls(
            layers=layers,
            hidden=hidden,
            heads=heads,
            head_width=head_width,
            intermediate=intermediate,
            vocab=sizes[5] if len(sizes) > 5 else None,
        )
