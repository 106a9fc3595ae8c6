"""Per-layer mixtures: students whose layers differ in their heads and FFN width (MatFormer)."""

import re
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from autodistil.errors import InvalidInput
from autodistil.spaces.architecture import MAX_LAYERS, Architecture, Size

LayerSizes = Annotated[tuple[Size, ...], Field(min_length=1, max_length=MAX_LAYERS, fail_fast=True)]
"""A size of every layer in turn."""

_NAME = re.compile(r"L(\d{1,4})-H(\d{1,7})-A(\d[\d.]*)x(\d{1,7})-F(\d[\d.]*)", re.ASCII)


class Mixture(BaseModel):
    """The sizes of an encoder whose layers have heads and FFN neurons of their own number.

    It runs the stored layers that every student of its depth runs. Like an `Architecture` it is a
    value: hashable, and passed along.

    Attributes:
        hidden: Width between the layers.
        head_width: Width of every head.
        heads: Heads of each layer.
        intermediate: FFN width of each layer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden: Size
    head_width: Size
    heads: LayerSizes
    intermediate: LayerSizes

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.heads) != len(self.intermediate):
            raise ValueError(
                f"{len(self.heads)} layers have heads, {len(self.intermediate)} an FFN width"
            )
        return self

    @classmethod
    def of(cls, architecture: Architecture) -> Self:
        """The mixture whose layers are all those of `architecture`."""
        return cls(
            hidden=architecture.hidden,
            head_width=architecture.head_width,
            heads=(architecture.heads,) * architecture.layers,
            intermediate=(architecture.intermediate,) * architecture.layers,
        )

    @property
    def layers(self) -> int:
        """Number of layers."""
        return len(self.heads)

    @property
    def per_layer(self) -> tuple[Architecture, ...]:
        """The sizes of each layer in turn."""
        return tuple(
            Architecture(
                layers=self.layers,
                hidden=self.hidden,
                heads=heads,
                head_width=self.head_width,
                intermediate=intermediate,
            )
            for heads, intermediate in zip(self.heads, self.intermediate, strict=True)
        )

    @property
    def uniform(self) -> Architecture | None:
        """The architecture that it is if all its layers are alike."""
        first, *others = self.per_layer
        return first if all(other == first for other in others) else None

    @property
    def stock(self) -> bool:
        """Whether a plain BERT implementation can hold it."""
        return self.uniform is not None and self.uniform.stock

    @property
    def name(self) -> str:
        """For example `L3-H128-A4.4.3x32-F448.256.320`; `Mixture.parse` reads it back."""
        heads, intermediate = (".".join(map(str, x)) for x in (self.heads, self.intermediate))
        return f"L{self.layers}-H{self.hidden}-A{heads}x{self.head_width}-F{intermediate}"

    @classmethod
    def parse(cls, name: str) -> Self:
        """Read a mixture from its name.

        Raises:
            InvalidInput: The name is not of the form `L3-H128-A4.4.3x32-F448.256.320`.
        """
        advice = "write the heads and FFN width of each layer as in L3-H128-A4.4.3x32-F448.256.320"
        match = _NAME.fullmatch(name)
        try:
            if not match:
                raise ValueError("no such form")
            layers, hidden, heads, head_width, intermediate = match.groups()
            mixture = cls(
                hidden=int(hidden),
                head_width=int(head_width),
                heads=tuple(map(int, heads.split("."))),
                intermediate=tuple(map(int, intermediate.split("."))),
            )
            if mixture.layers != int(layers):
                raise ValueError("another number of layers")
        except ValueError as error:  # pydantic's is one, too
            raise InvalidInput(f"{name[:200]!r} is not a mixture; {advice}.") from error
        return mixture


Sizes = Architecture | Mixture
"""What an encoder can be built from: layers all alike, or each of its own sizes."""
