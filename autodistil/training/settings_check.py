"""Whether training settings fit a teacher and a sub-space, asked before any long work."""

import math

from autodistil.errors import InvalidInput
from autodistil.families.architecture import Architecture
from autodistil.models.teacher import Teacher
from autodistil.spaces.sub_space import SubSpace
from autodistil.training.settings import TrainingSettings


def check_settings(settings: TrainingSettings, teacher: Teacher, space: SubSpace) -> None:
    """Refuse settings that fit no teacher and sub-space such as these.

    Args:
        settings: The settings.
        teacher: The teacher.
        space: The sub-space.

    Raises:
        InvalidInput: Says which setting, and what would do.
    """
    sizes = teacher.architecture
    if settings.compares_tokens and space.vocab:
        raise InvalidInput(
            "relation_weight, hidden_weight and channel_weight compare tokens with the teacher's, "
            "which students with a vocabulary of their own do not share; set them to 0, or leave "
            "`vocab` out of the sub-space."
        )
    if space.vocab and not settings.vector_weight:
        raise InvalidInput(
            "Students with a vocabulary of their own learn the sentence vectors of a sentence "
            "embedder; set vector_weight, or leave `vocab` out of the sub-space."
        )
    if settings.relation_weight:
        _check_relation_heads(settings, sizes, space)
    positions = teacher.encoder.positions
    if max(settings.lengths) > positions:
        raise InvalidInput(
            f"Passages of {max(settings.lengths)} tokens are longer than the teacher's "
            f"{positions} positions; set shorter lengths."
        )
    if -settings.teacher_layer > sizes.layers:
        raise InvalidInput(
            f"teacher_layer {settings.teacher_layer}: the teacher has {sizes.layers} layers; set "
            f"{-sizes.layers} to -1."
        )


def _check_relation_heads(settings: TrainingSettings, sizes: Architecture, space: SubSpace) -> None:
    widths = {student.attention_width for student in space.students()} | {sizes.attention_width}
    common = math.gcd(*widths)
    if common % settings.relation_heads:
        possible = [n for n in range(1, common + 1) if common % n == 0]
        raise InvalidInput(
            f"{settings.relation_heads} relation heads do not divide every attention width "
            f"{sorted(widths)}; possible are {possible}."
        )
