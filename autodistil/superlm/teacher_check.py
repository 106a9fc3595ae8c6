"""Whether a teacher is the one that a SuperLM was distilled from."""

from autodistil.errors import TeacherMismatch
from autodistil.models.teacher import Teacher
from autodistil.superlm.bundle import SuperLM


def check_teacher(superlm: SuperLM, teacher: Teacher) -> None:
    """Refuse a teacher that a SuperLM was not distilled from.

    Raises:
        TeacherMismatch: Its weights are others.
    """
    if teacher.sha256 != superlm.spec.teacher.sha256:
        raise TeacherMismatch(
            f"{teacher.name} is not the {superlm.spec.teacher.name} that {superlm.spec.reference} "
            f"was distilled from: its weights have the sha256 {teacher.sha256[:12]}..., not "
            f"{superlm.spec.teacher.sha256[:12]}....",
            expected=superlm.spec.teacher.sha256,
            found=teacher.sha256,
        )
