"""Architectures and the sub-spaces they are drawn from (paper, section 3.1), in integers."""

import random
import re
from collections.abc import Iterator
from enum import StrEnum
from itertools import product
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from autodistil.errors import InvalidInput

Size = Annotated[int, Field(strict=True, gt=0, le=1 << 20)]
"""A positive count; the upper bound keeps products of sizes far from overflow in any consumer."""

MAX_LAYERS = 1000
"""No encoder comes near; it bounds whatever runs over layers or tensors."""
Depth = Annotated[int, Field(strict=True, gt=0, le=MAX_LAYERS)]
"""A number of layers."""
Axis = Annotated[tuple[Size, ...], Field(fail_fast=True)]
"""Values of an axis; of a million wrong ones only the first is reported, at once."""
_MAX_STUDENTS = 10_000
_MAX_STUDENT_LAYERS = 250_000
"""Of all students together: what costs and checks run over. BERT-large uncut has 117,504."""

_NAME = re.compile(
    r"L(\d{1,4})-H(\d{1,7})-A(\d{1,7})x(\d{1,7})-F(\d{1,7})(?:-V(\d{1,7}))?", re.ASCII
)


class HeadPolicy(StrEnum):
    """How the attention heads of a student relate to its width.

    `stock`: heads x head width = hidden, so that the student is a plain BERT.
    `teacher`: any number of heads of the teacher's width, as in the paper.
    """

    STOCK = "stock"
    TEACHER = "teacher"


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


class SubSpace(BaseModel):
    """A compact sub-space: every combination of its axes is a student.

    Under the stock policy the number of heads follows from the width (`hidden / head_width`),
    so `heads` is empty. FFN widths are whole percentages of the hidden width (350 = ratio 3.5).
    Without `vocab`, every student has the whole vocabulary.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]
    head_policy: HeadPolicy
    head_width: Size
    layers: Annotated[tuple[Depth, ...], Field(fail_fast=True)]
    hidden: Axis
    ffn_percent: Axis
    heads: Axis = ()
    vocab: Axis = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        for axis in ("layers", "hidden", "ffn_percent"):
            _check_axis(axis, getattr(self, axis))
        if self.vocab:
            _check_axis("vocab", self.vocab)
        if self.head_policy is HeadPolicy.STOCK:
            if self.heads:
                raise ValueError("heads must be left out: the stock policy derives them")
            if any(hidden % self.head_width for hidden in self.hidden):
                raise ValueError(
                    f"every hidden width must be a multiple of the head width {self.head_width}"
                )
        else:
            _check_axis("heads", self.heads)
        self._check_size()  # before anything that runs over the products of the axes
        if any(h * p % 100 for h, p in product(self.hidden, self.ffn_percent)):
            raise ValueError("hidden x ffn_percent / 100 must be whole")
        return self

    def _check_size(self) -> None:
        advice = "use more sub-spaces, or fewer values on an axis"
        if self.size > _MAX_STUDENTS:
            raise ValueError(
                f"{self.size:,} students are too many for one sub-space ({_MAX_STUDENTS:,} at "
                f"most); {advice}"
            )
        layers = sum(self.layers) * self.size // len(self.layers)
        if layers > _MAX_STUDENT_LAYERS:
            raise ValueError(
                f"{self.size:,} students with {layers:,} layers in all are too many for one "
                f"sub-space ({_MAX_STUDENT_LAYERS:,} layers at most); {advice}"
            )

    def _head_counts(self, hidden: int) -> tuple[int, ...]:
        if self.head_policy is HeadPolicy.STOCK:
            return (hidden // self.head_width,)
        return self.heads

    def __contains__(self, architecture: Architecture) -> bool:
        return (
            architecture.layers in self.layers
            and architecture.hidden in self.hidden
            and architecture.head_width == self.head_width
            and architecture.heads in self._head_counts(architecture.hidden)
            and architecture.intermediate * 100
            in {architecture.hidden * percent for percent in self.ffn_percent}
            and architecture.vocab in self._vocabularies
        )

    @property
    def _vocabularies(self) -> tuple[int | None, ...]:
        return self.vocab or (None,)

    def _build(
        self, layers: int, hidden: int, percent: int, heads: int, vocab: int | None
    ) -> Architecture:
        return Architecture(
            layers=layers,
            hidden=hidden,
            heads=heads,
            head_width=self.head_width,
            intermediate=hidden * percent // 100,
            vocab=vocab,
        )

    def students(self) -> Iterator[Architecture]:
        """Every student, from the fewest layers and the narrowest on."""
        for layers, hidden, percent in product(self.layers, self.hidden, self.ffn_percent):
            for heads, vocab in product(self._head_counts(hidden), self._vocabularies):
                yield self._build(layers, hidden, percent, heads, vocab)

    @property
    def size(self) -> int:
        """Number of students."""
        per_width = 1 if self.head_policy is HeadPolicy.STOCK else len(self.heads)
        widths = len(self.hidden) * len(self.ffn_percent)
        return len(self.layers) * widths * per_width * len(self._vocabularies)

    @property
    def smallest(self) -> Architecture:
        """The student with the least of every axis."""
        return self._build(
            self.layers[0],
            self.hidden[0],
            self.ffn_percent[0],
            self._head_counts(self.hidden[0])[0],
            self._vocabularies[0],
        )

    @property
    def largest(self) -> Architecture:
        """The student with the most of every axis: the one whose weights the SuperLM stores."""
        return self._build(
            self.layers[-1],
            self.hidden[-1],
            self.ffn_percent[-1],
            self._head_counts(self.hidden[-1])[-1],
            self._vocabularies[-1],
        )

    def sample(self, rng: random.Random) -> Architecture:
        """A student with every axis drawn uniformly and independently."""
        hidden = rng.choice(self.hidden)
        return self._build(
            rng.choice(self.layers),
            hidden,
            rng.choice(self.ffn_percent),
            rng.choice(self._head_counts(hidden)),
            rng.choice(self._vocabularies),
        )


def _check_axis(name: str, values: tuple[int, ...]) -> None:
    if not values:
        raise ValueError(f"{name} must not be empty")
    if list(values) != sorted(set(values)):
        raise ValueError(f"{name} must be increasing and without repeats")
