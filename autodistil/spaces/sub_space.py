"""The sub-spaces that students are drawn from (paper, section 3.1), in integers."""

import random
from collections.abc import Iterator
from enum import StrEnum
from itertools import product
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from autodistil.families.architecture import Architecture, Depth, Size

Axis = Annotated[tuple[Size, ...], Field(fail_fast=True)]
"""Values of an axis; of a million wrong ones only the first is reported, at once."""
_MAX_STUDENTS = 10_000
_MAX_STUDENT_LAYERS = 250_000
"""Of all students together: what costs and checks run over. BERT-large uncut has 117,504."""


class HeadPolicy(StrEnum):
    """How the attention heads of a student relate to its width.

    `stock`: heads x head width = hidden, so that the student is a plain BERT.
    `teacher`: any number of heads of the teacher's width, as in the paper.
    """

    STOCK = "stock"
    TEACHER = "teacher"


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
