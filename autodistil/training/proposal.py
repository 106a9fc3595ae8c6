"""Sub-spaces for any teacher, from a cheap measurement of its own.

The paper cuts every teacher by the same fractions (`autodistil.spaces.partition`). What wins
depends on the teacher: of one with six layers, all of them with few neurons beat few of them, and
both beat narrow ones (decision 34). So a coarse grid of students is cut and compared with the
teacher before any training, as wide as the teacher and narrower, and the values that lie on a front
of agreement against MACs or parameters make the sub-spaces.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from autodistil.families.architecture import Architecture
from autodistil.models.elastic import ElasticEncoder
from autodistil.models.teacher import Teacher
from autodistil.spaces.cost import Cost, cost
from autodistil.spaces.embedding import Pooling
from autodistil.spaces.sub_space import HeadPolicy, SubSpace
from autodistil.text.corpus import Batch
from autodistil.training.settings import StartSettings
from autodistil.training.start import cut_superlm, teacher_encoder

WIDE, NARROW = "wide", "narrow"
_DEPTHS = (1, 2, 3, 4, 6, 8, 12, 16)
_WIDTHS = (1 / 2, 2 / 3, 5 / 6)
"""Of the narrow students, as shares of the teacher's."""
_NARROW_DEPTHS = (1, 2)


class Measured(NamedTuple):
    """An untrained student and how near it is to its teacher.

    Attributes:
        sub_space: `wide` or `narrow`.
        architecture: Its sizes.
        cost: What it costs with the whole vocabulary.
        agreement: Mean cosine between its sentence vectors and the teacher's, the mean of each
            batch taken out of both.
        on_front: Whether no cheaper student, in MACs or in parameters, agrees more.
    """

    sub_space: str
    architecture: Architecture
    cost: Cost
    agreement: float
    on_front: bool


class Proposal(NamedTuple):
    """Proposed sub-spaces, and what they were made from."""

    spaces: list[SubSpace]
    measured: list[Measured]


def propose_spaces(
    teacher: Teacher,
    batches: Sequence[Batch],
    vocab: Sequence[int] = (),
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Proposal:
    """Propose sub-spaces of plain BERT students for a teacher.

    Args:
        teacher: The teacher.
        batches: A few thousand tokens of text.
        vocab: Vocabularies that the students may have, the teacher's own included.
        on_progress: Called as the two grids are cut and measured: steps done, in all.

    Returns:
        `wide`, students as wide as the teacher, and `narrow`, if one of them is on a front.
    """
    sizes, least = teacher.architecture, teacher.encoder.least_layers
    grids = [_wide_grid(sizes, least), *_narrow_grid(sizes, least)]
    found: list[tuple[str, Architecture, Cost, float]] = []
    encoder = teacher_encoder(teacher)
    wanted = _teacher_vectors(teacher, encoder, batches)
    for step, grid in enumerate(grids):
        on_progress(step, len(grids))
        settings = StartSettings(least_squares=grid.name == NARROW)
        start = cut_superlm(teacher, grid, batches, settings)
        superlm = ElasticEncoder(start.tensors, start.encoder, start.kept_layers)
        superlm.requires_grad_(False).eval()
        plain = grid.name == WIDE or teacher.embedding is not None
        for student in grid.students():
            vectors = _vectors(superlm, student, batches, teacher.pooling)
            target = wanted if plain else [w[:, list(start.channels)] for w in wanted]
            agreement = _agreement(vectors, target)
            counted = cost(student, teacher.encoder, teacher.architecture.heads)
            found.append((grid.name, student, counted, agreement))
    on_progress(len(grids), len(grids))
    measured = [Measured(*row, on_front=_on_front(row, found)) for row in found]
    return Proposal(_spaces(grids, measured, tuple(sorted(vocab))), measured)


def _wide_grid(teacher: Architecture, least: int) -> SubSpace:
    """Students as wide as the teacher, of up to all of its layers and half of its neurons."""
    ratio = 100 * teacher.intermediate // teacher.hidden
    percents = {ratio // part for part in (2, 4, 8, 16)}
    return SubSpace(
        name=WIDE,
        head_policy=HeadPolicy.STOCK,
        head_width=teacher.head_width,
        layers=_depths(_DEPTHS, teacher, least),
        hidden=(teacher.hidden,),
        ffn_percent=_whole(percents, (teacher.hidden,)),
    )


def _depths(depths: Sequence[int], teacher: Architecture, least: int) -> tuple[int, ...]:
    """The depths that students of a teacher can have; all of its layers, if none."""
    return tuple(d for d in depths if least <= d <= teacher.layers) or (teacher.layers,)


def _narrow_grid(teacher: Architecture, least: int) -> list[SubSpace]:
    """Narrower students of few layers; none for a teacher that is too narrow for it."""
    width = teacher.head_width
    hidden = sorted({round(share * teacher.hidden / width) * width for share in _WIDTHS})
    hidden = [h for h in hidden if 0 < h < teacher.hidden]
    if not hidden:
        return []
    return [
        SubSpace(
            name=NARROW,
            head_policy=HeadPolicy.STOCK,
            head_width=width,
            layers=_depths(_NARROW_DEPTHS, teacher, least),
            hidden=tuple(hidden),
            ffn_percent=_whole({25, 100, 200}, tuple(hidden)),
        )
    ]


def _whole(percents: Iterable[int], widths: tuple[int, ...]) -> tuple[int, ...]:
    """The percentages that give whole FFN widths; all of the hidden width always does."""
    fitting = {p for p in percents if p > 0 and all(h * p % 100 == 0 for h in widths)}
    return tuple(sorted(fitting or {100}))


@torch.inference_mode()
def _teacher_vectors(
    teacher: Teacher, encoder: ElasticEncoder, batches: Sequence[Batch]
) -> list[Tensor]:
    found = []
    for batch in batches:
        hidden = encoder(batch.input_ids, batch.attention_mask, teacher.architecture).hidden
        found.append(teacher.sentence_vectors(hidden, batch.attention_mask))
    return found


@torch.inference_mode()
def _vectors(
    encoder: ElasticEncoder, student: Architecture, batches: Sequence[Batch], pooling: Pooling
) -> list[Tensor]:
    return [encoder.vectors(b.input_ids, b.attention_mask, student, pooling) for b in batches]


def _agreement(vectors: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    found = [
        F.cosine_similarity(v - v.mean(0), w - w.mean(0)).mean()
        for v, w in zip(vectors, wanted, strict=True)
    ]
    return float(torch.stack(found).mean())


_Row = tuple[str, Architecture, Cost, float]


def _on_front(row: _Row, rows: Sequence[_Row]) -> bool:
    """Whether no student is at least as near for fewer MACs, or none for fewer parameters."""
    _, _, own, agreement = row
    return any(
        not any(
            other is not row
            and getattr(other[2], axis) <= getattr(own, axis)
            and other[3] >= agreement
            for other in rows
        )
        for axis in ("macs", "params")
    )


def _spaces(
    grids: Sequence[SubSpace], measured: Sequence[Measured], vocab: tuple[int, ...]
) -> list[SubSpace]:
    """The values of each grid that lie on a front; all of the wide one's if none does."""
    spaces = []
    for grid in grids:
        chosen = [m.architecture for m in measured if m.sub_space == grid.name and m.on_front]
        if not chosen and grid.name == NARROW:
            continue
        chosen = chosen or list(grid.students())
        percents = {a.intermediate * 100 // a.hidden for a in chosen}
        spaces.append(
            grid.model_copy(
                update={
                    "layers": tuple(sorted({a.layers for a in chosen})),
                    "hidden": tuple(sorted({a.hidden for a in chosen})),
                    "ffn_percent": tuple(sorted(percents)),
                    # Where bytes are the limit, so are words.
                    "vocab": vocab[:-1] if grid.name == NARROW and len(vocab) > 2 else vocab,
                }
            )
        )
    return spaces
