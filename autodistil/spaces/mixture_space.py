"""The space of the mixtures inside one SuperLM, and mixtures as lists of integers."""

import random
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Self

from autodistil.errors import InvalidInput
from autodistil.spaces.architecture import Architecture, HeadPolicy, SubSpace
from autodistil.spaces.mixture import Mixture
from autodistil.spaces.spec import SuperLMSpec

Genes = tuple[int, ...]
"""A mixture as indices into the choices of its space: depth, hidden width, then heads and FFN width
of every stored layer. Those of layers that the depth does not run say nothing."""


class MixtureSpace:
    """Every mixture of a SuperLM: each layer has heads and an FFN width that students have.

    A student's depth decides which stored layers run and its hidden width holds for all of them, as
    in the sub-space itself. Heads and FFN widths are those of any student, of other hidden widths
    too, since the weights of all were trained as first heads and first neurons.

    Args:
        space: The sub-space of the SuperLM.
        kept_layers: Stored layers per depth.
    """

    def __init__(self, space: SubSpace, kept_layers: Mapping[int, tuple[int, ...]]) -> None:
        self.space = space
        self._kept_layers = dict(kept_layers)
        stock = space.head_policy is HeadPolicy.STOCK
        self.heads: tuple[int, ...] = (
            tuple(hidden // space.head_width for hidden in space.hidden) if stock else space.heads
        )
        self.intermediate: tuple[int, ...] = tuple(
            sorted({h * percent // 100 for h in space.hidden for percent in space.ffn_percent})
        )

    @classmethod
    def of(cls, spec: SuperLMSpec) -> Self:
        """The mixtures of a SuperLM."""
        return cls(spec.space, spec.kept_layers)

    def __contains__(self, mixture: Mixture) -> bool:
        return (
            mixture.layers in self.space.layers
            and mixture.hidden in self.space.hidden
            and mixture.head_width == self.space.head_width
            and set(mixture.heads) <= set(self.heads)
            and set(mixture.intermediate) <= set(self.intermediate)
        )

    def check(self, mixture: Mixture, owner: str) -> None:
        """Refuse a mixture of another space.

        Args:
            mixture: The mixture.
            owner: Whose space this is, for the message.

        Raises:
            InvalidInput: The mixture is not in the space; says what would be.
        """
        if mixture not in self:
            raise InvalidInput(
                f"{mixture.name} is not a mixture of {owner}. Those have {_or(self.space.layers)} "
                f"layers, hidden {_or(self.space.hidden)}, and in each layer {_or(self.heads)} "
                f"heads x {self.space.head_width} and FFN {_or(self.intermediate)}."
            )

    @property
    def size(self) -> int:
        """Number of mixtures, the students of the sub-space among them."""
        per_layer = len(self.heads) * len(self.intermediate)
        return len(self.space.hidden) * sum(int(per_layer**depth) for depth in self.space.layers)

    @cached_property
    def choices(self) -> Genes:
        """How many values each gene has."""
        per_layer = (len(self.heads), len(self.intermediate))
        stored = self.space.layers[-1]
        return (len(self.space.layers), len(self.space.hidden), *per_layer * stored)

    def decode(self, genes: Sequence[int]) -> Mixture:
        """The mixture that genes stand for; one mixture has many genes if its depth is not full."""
        depth, hidden, *per_layer = map(int, genes)
        layers = self._kept_layers[self.space.layers[depth]]
        return Mixture(
            hidden=self.space.hidden[hidden],
            head_width=self.space.head_width,
            heads=tuple(self.heads[per_layer[2 * layer]] for layer in layers),
            intermediate=tuple(self.intermediate[per_layer[2 * layer + 1]] for layer in layers),
        )

    def encode(self, mixture: Mixture) -> Genes:
        """Genes of a mixture of this space; layers that it does not run get those of the next that
        it does, so that a deeper child of it is a likely one.
        """
        sizes = dict(
            zip(
                self._kept_layers[mixture.layers],
                zip(mixture.heads, mixture.intermediate, strict=True),
                strict=True,
            )
        )
        per_layer = []
        for stored in range(self.space.layers[-1]):
            heads, intermediate = sizes[min(layer for layer in sizes if layer >= stored)]
            per_layer.append((self.heads.index(heads), self.intermediate.index(intermediate)))
        return (
            self.space.layers.index(mixture.layers),
            self.space.hidden.index(mixture.hidden),
            *chain.from_iterable(per_layer),
        )

    def sample(self, rng: random.Random) -> Mixture:
        """A mixture with every gene drawn uniformly and independently."""
        return self.decode([rng.randrange(count) for count in self.choices])

    def student(self, mixture: Mixture) -> Architecture | None:
        """The student of the sub-space that a mixture is, if all its layers are alike."""
        uniform = mixture.uniform
        return uniform if uniform is not None and uniform in self.space else None


def _or(values: Sequence[int]) -> str:
    return "/".join(map(str, values))
