"""Held-out losses of every student of a SuperLM (paper, section 3.3): all that a search needs.

The teacher runs once per batch. Students of equal widths share the layers that their depths have
in common; the result is the same as running each alone.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from autodistil.architecture import Architecture
from autodistil.corpus import Batch, TokenizedText
from autodistil.elastic import ElasticEncoder, LayerOutput
from autodistil.objective import losses, make_target
from autodistil.training_settings import ObjectiveSettings


def held_out_batches(
    text: TokenizedText, seed: int = 0, rounds: int = 3, longest: int = 128
) -> list[Batch]:
    """Batches of 4,096 slots, each round one of 32, one of 64, and one of 128 tokens a row."""
    return [
        text.batch(np.random.default_rng([seed, 0x4E1D, i, length]), 4096 // length, length)
        for i in range(rounds)
        for length in sorted({min(length, longest) for length in (32, 64, 128)})
    ]


@torch.inference_mode()
def evaluate_students(
    superlm: ElasticEncoder,
    students: Iterable[Architecture],
    teacher: ElasticEncoder,
    teacher_architecture: Architecture,
    batches: list[Batch],
    objective: ObjectiveSettings,
    on_student: Callable[[], None] = lambda: None,
) -> dict[Architecture, tuple[float, float]]:
    """Relation loss and similarity loss of students, averaged over the batches.

    Args:
        superlm: The SuperLM.
        students: Students of it.
        teacher: The teacher.
        teacher_architecture: The teacher's sizes.
        batches: Held-out text.
        objective: How both are measured; the last layers are compared, by KL.
        on_student: Called whenever a student was run on one batch, for progress.
    """
    sums = dict.fromkeys(students, (0.0, 0.0))
    for batch in batches:
        output = teacher(batch.input_ids, batch.attention_mask, teacher_architecture)
        target = make_target(objective, [output], batch.attention_mask)
        prefixes: dict[tuple[object, ...], Tensor] = {}
        for student in sorted(sums, key=_widths):
            if prefixes and next(iter(prefixes))[0] != _widths(student):
                prefixes.clear()  # the widths changed, nothing more to share
            output = _run(superlm, student, batch, prefixes)
            found = losses(objective, [output], target, batch.attention_mask)
            relation, similarity = sums[student]
            # Of two equal models, rounding may make the KL a hair less than 0.
            sums[student] = (
                relation + max(0.0, found.relation.item()),
                similarity + max(0.0, found.similarity.item()),
            )
            on_student()
    count = len(batches)
    return {student: (r / count, s / count) for student, (r, s) in sums.items()}


def _widths(student: Architecture) -> tuple[int, ...]:
    return (student.hidden, student.heads, student.intermediate)


def _run(
    superlm: ElasticEncoder,
    student: Architecture,
    batch: Batch,
    prefixes: dict[tuple[object, ...], Tensor],
) -> LayerOutput:
    """Run a student, starting from the longest prefix of its layers that was run before."""
    widths, layers = _widths(student), superlm.kept_layers[student.layers]
    mask = batch.attention_mask[:, None, None, :].bool()
    if (widths, ()) not in prefixes:
        prefixes[widths, ()] = superlm.embed(batch.input_ids, student.hidden)
    known = max(n for n in range(len(layers)) if (widths, layers[:n]) in prefixes)
    hidden = prefixes[widths, layers[:known]]
    for n in range(known, len(layers) - 1):
        hidden = superlm.layer(hidden, mask, layers[n], student).hidden
        prefixes[widths, layers[: n + 1]] = hidden
    return superlm.layer(hidden, mask, layers[-1], student)
