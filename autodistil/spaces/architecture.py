"""Architectures and the sub-spaces they are drawn from (paper, section 3.1), in integers."""

import random
import re
from collections.abc import Iterator
from enum import StrEnum
from fractions import Fraction
from itertools import product
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

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

_NAME = re.compile(r"L(\d+)-H(\d+)-A(\d+)x(\d+)-F(\d+)")


class HeadPolicy(StrEnum):
    """How the attention heads of a student relate to its width.

    `stock`: heads x head width = hidden, so that the student is a plain BERT.
    `teacher`: any number of heads of the teacher's width, as in the paper.
    """

    STOCK = "stock"
    TEACHER = "teacher"


class Architecture(BaseModel):
    """The sizes of one encoder. A value: hashable, and passed along rather than set on modules."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: Depth
    hidden: Size
    heads: Size
    head_width: Size
    intermediate: Size

    @property
    def attention_width(self) -> int:
        """Width of the concatenated queries, keys, or values of a layer."""
        return self.heads * self.head_width

    @property
    def stock(self) -> bool:
        """Whether a plain BERT implementation can hold it (head width = hidden / heads)."""
        return self.attention_width == self.hidden

    @property
    def per_layer(self) -> tuple["Architecture", ...]:
        """The sizes of each layer in turn; here all are alike, see `autodistil.spaces.mixture`."""
        return (self,) * self.layers

    @property
    def ffn_ratio(self) -> float:
        """Intermediate width as a multiple of hidden, as the paper prints it."""
        return self.intermediate / self.hidden

    @property
    def name(self) -> str:
        """For example `L4-H128-A4x32-F448`; `Architecture.parse` reads it back."""
        return f"L{self.layers}-H{self.hidden}-A{self.heads}x{self.head_width}-F{self.intermediate}"

    @classmethod
    def parse(cls, name: str) -> Self:
        """Read an architecture from its name.

        Raises:
            InvalidInput: The name is not of the form `L4-H128-A4x32-F448`.
        """
        match = _NAME.fullmatch(name)
        sizes = [int(group) for group in match.groups()] if match else []
        if not sizes or min(sizes) < 1 or max(sizes) > 1 << 20 or sizes[0] > MAX_LAYERS:
            raise InvalidInput(
                f"{name!r} is not an architecture; write layers ({MAX_LAYERS} at most), hidden, "
                "heads x head width and FFN width, as in L4-H128-A4x32-F448."
            )
        layers, hidden, heads, head_width, intermediate = sizes
        return cls(
            layers=layers,
            hidden=hidden,
            heads=heads,
            head_width=head_width,
            intermediate=intermediate,
        )


class SubSpace(BaseModel):
    """A compact sub-space: every combination of its axes is a student.

    Under the stock policy the number of heads follows from the width (`hidden / head_width`),
    so `heads` is empty. FFN widths are whole percentages of the hidden width (350 = ratio 3.5).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]
    head_policy: HeadPolicy
    head_width: Size
    layers: Annotated[tuple[Depth, ...], Field(fail_fast=True)]
    hidden: Axis
    ffn_percent: Axis
    heads: Axis = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        for axis in ("layers", "hidden", "ffn_percent"):
            _check_axis(axis, getattr(self, axis))
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
        )

    def _build(self, layers: int, hidden: int, percent: int, heads: int) -> Architecture:
        return Architecture(
            layers=layers,
            hidden=hidden,
            heads=heads,
            head_width=self.head_width,
            intermediate=hidden * percent // 100,
        )

    def students(self) -> Iterator[Architecture]:
        """Every student, from the fewest layers and the narrowest on."""
        for layers, hidden, percent in product(self.layers, self.hidden, self.ffn_percent):
            for heads in self._head_counts(hidden):
                yield self._build(layers, hidden, percent, heads)

    @property
    def size(self) -> int:
        """Number of students."""
        per_width = 1 if self.head_policy is HeadPolicy.STOCK else len(self.heads)
        return len(self.layers) * len(self.hidden) * len(self.ffn_percent) * per_width

    @property
    def smallest(self) -> Architecture:
        """The student with the least of every axis."""
        return self._build(
            self.layers[0],
            self.hidden[0],
            self.ffn_percent[0],
            self._head_counts(self.hidden[0])[0],
        )

    @property
    def largest(self) -> Architecture:
        """The student with the most of every axis: the one whose weights the SuperLM stores."""
        return self._build(
            self.layers[-1],
            self.hidden[-1],
            self.ffn_percent[-1],
            self._head_counts(self.hidden[-1])[-1],
        )

    def sample(self, rng: random.Random) -> Architecture:
        """A student with every axis drawn uniformly and independently."""
        hidden = rng.choice(self.hidden)
        return self._build(
            rng.choice(self.layers),
            hidden,
            rng.choice(self.ffn_percent),
            rng.choice(self._head_counts(hidden)),
        )


def _check_axis(name: str, values: tuple[int, ...]) -> None:
    if not values:
        raise ValueError(f"{name} must not be empty")
    if list(values) != sorted(set(values)):
        raise ValueError(f"{name} must be increasing and without repeats")


# The paper's partition of BERT-base (section 3.1): low and high of each axis as fractions of
# the teacher, and the FFN ratios in percent of the hidden width for a teacher of ratio 4.
_WIDTH_STEP = Fraction(32, 768)
_FRACTIONS: dict[str, dict[str, tuple[Fraction | int, Fraction | int]]] = {
    "tiny": {
        "layers": (Fraction(4, 12), Fraction(7, 12)),
        "hidden": (Fraction(128, 768), Fraction(224, 768)),
        "heads": (Fraction(7, 12), Fraction(10, 12)),
        "ffn": (200, 350),
    },
    "small": {
        "layers": (Fraction(9, 12), Fraction(1)),
        "hidden": (Fraction(256, 768), Fraction(352, 768)),
        "heads": (Fraction(7, 12), Fraction(10, 12)),
        "ffn": (250, 400),
    },
    "base": {
        "layers": (Fraction(9, 12), Fraction(1)),
        "hidden": (Fraction(544, 768), Fraction(640, 768)),
        "heads": (Fraction(9, 12), Fraction(1)),
        "ffn": (250, 400),
    },
}
_GROUPS = {
    3: (("tiny",), ("small",), ("base",)),
    2: (("tiny", "small"), ("base",)),
    1: (("tiny", "small", "base"),),
}


def partition(
    teacher: Architecture,
    k: int = 3,
    head_policy: HeadPolicy = HeadPolicy.STOCK,
    head_width: int | None = None,
) -> list[SubSpace]:
    """Cut the space below a teacher into K sub-spaces by the paper's fractions (section 3.1).

    K = 3 gives tiny, small, and base; K = 2 joins tiny and small; K = 1 joins all three.
    Ends that fall between two steps are widened: the low end down, the high end to the nearest.

    Args:
        teacher: The teacher's sizes.
        k: Number of sub-spaces, 1 to 3.
        head_policy: `stock` makes every hidden width a multiple of the head width.
        head_width: Width of the students' heads; by default the teacher's, or, under the stock
            policy, the largest half, quarter ... of it that leaves at least two tiny widths.

    Raises:
        InvalidInput: `k` or the head width is impossible for this teacher.
    """
    if k not in _GROUPS:
        raise InvalidInput(f"K = {k} is not supported; use 1, 2, or 3 sub-spaces.")
    if head_width is None:
        head_width = _default_head_width(teacher, head_policy)
    if head_width < 1 or teacher.head_width % head_width:
        raise InvalidInput(
            f"A head width of {head_width} does not divide the teacher's {teacher.head_width}."
        )
    if head_policy is HeadPolicy.TEACHER and head_width != teacher.head_width:
        raise InvalidInput("Under the teacher policy, heads keep the teacher's width.")
    return [_join(group, teacher, head_policy, head_width) for group in _GROUPS[k]]


def _default_head_width(teacher: Architecture, head_policy: HeadPolicy) -> int:
    if head_policy is HeadPolicy.TEACHER:
        return teacher.head_width
    width = teacher.head_width
    low, high = _FRACTIONS["tiny"]["hidden"]
    while width % 2 == 0 and len(_steps(low, high, teacher.hidden, width)) < 2:
        width //= 2
    return width


def _join(
    group: tuple[str, ...], teacher: Architecture, head_policy: HeadPolicy, head_width: int
) -> SubSpace:
    def ends(axis: str) -> tuple[Fraction, Fraction]:
        lows, highs = zip(*(_FRACTIONS[name][axis] for name in group), strict=True)
        return Fraction(min(lows)), Fraction(max(highs))

    stock = head_policy is HeadPolicy.STOCK
    width_step = head_width if stock else max(1, round(_WIDTH_STEP * teacher.hidden))
    low, high = ends("ffn")
    ratio = Fraction(teacher.intermediate, teacher.hidden)
    percents = _steps(low, high, 1, 50)
    if ratio != 4:  # scale to the teacher's own ratio, in steps of 25 percent
        percents = _steps(low * ratio / 4, high * ratio / 4, 1, 25)
    hidden = _steps(*ends("hidden"), teacher.hidden, width_step)
    percents = tuple(
        percent
        for percent in percents
        if all(width * percent % 100 == 0 for width in hidden)
        and hidden[-1] * percent <= teacher.intermediate * 100
    )
    if not percents:
        raise InvalidInput(
            f"No FFN ratio gives whole widths, no wider than the teacher's {teacher.intermediate}, "
            f"for {len(hidden)} hidden widths from {hidden[0]} to {hidden[-1]}."
        )
    try:
        return SubSpace(
            name=group[-1] if len(group) < 3 else "whole",
            head_policy=head_policy,
            head_width=head_width,
            layers=_steps(*ends("layers"), teacher.layers, 1),
            hidden=hidden,
            ffn_percent=percents,
            heads=() if stock else _steps(*ends("heads"), teacher.heads, 1),
        )
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise InvalidInput(f"No sub-space below {teacher.name}: {reason}.") from error


def _steps(low: Fraction | int, high: Fraction | int, whole: int, step: int) -> tuple[int, ...]:
    """`step`s from `low` x `whole` (rounded down) to `high` x `whole` (to the nearest)."""
    first = max(1, (low * whole) // step)
    last = max(first, (Fraction(high) * whole / step + Fraction(1, 2)) // 1)
    return tuple(int(i) * step for i in range(int(first), int(last) + 1))


BERT_BASE = Architecture(layers=12, hidden=768, heads=12, head_width=64, intermediate=3072)

PRESETS: dict[str, list[SubSpace]] = {
    "bert-base-uncased": partition(BERT_BASE, k=3, head_policy=HeadPolicy.TEACHER),
}
"""The three sub-spaces of the paper's Table 1; 256 students each."""
