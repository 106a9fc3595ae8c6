"""The partition of the space below a teacher into sub-spaces (paper, section 3.1)."""

from fractions import Fraction

from pydantic import ValidationError

from autodistil.errors import InvalidInput
from autodistil.families.architecture import Architecture
from autodistil.families.bert import BertEncoder
from autodistil.spaces.sub_space import HeadPolicy, SubSpace

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
BERT_BASE_ENCODER = BertEncoder(
    vocab_size=30522,
    max_position_embeddings=512,
    type_vocab_size=2,
    hidden_act="gelu",
    layer_norm_eps=1e-12,
    pad_token_id=0,
)
"""What the students of BERT-base uncased share with it."""

PRESETS: dict[str, list[SubSpace]] = {
    "bert-base-uncased": partition(BERT_BASE, k=3, head_policy=HeadPolicy.TEACHER),
}
"""The three sub-spaces of the paper's Table 1; 256 students each."""
