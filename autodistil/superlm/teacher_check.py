"""Whether a teacher is the one that a SuperLM was distilled from."""

from autodistil.errors import TeacherMismatch
from autodistil.models.teacher import Teacher
from autodistil.superlm.bundle import SuperLM

_MAKES_VECTORS = ("pooling", "width", "projected")
"""What of an embedding decides which vectors students are compared with."""


def check_teacher(superlm: SuperLM, teacher: Teacher) -> None:
    """Refuse a teacher that a SuperLM was not distilled from.

    Raises:
        TeacherMismatch: Its weights are others, or it makes sentence vectors of them in another
            way.
    """
    if teacher.sha256 != superlm.spec.teacher.sha256:
        raise TeacherMismatch(
            f"{teacher.name} is not the {superlm.spec.teacher.name} that {superlm.spec.reference} "
            f"was distilled from: its weights have the sha256 {teacher.sha256[:12]}..., not "
            f"{superlm.spec.teacher.sha256[:12]}....",
            expected=superlm.spec.teacher.sha256,
            found=teacher.sha256,
        )
    wanted, found = superlm.spec.teacher.embedding, teacher.embedding
    for setting in _MAKES_VECTORS:
        asked, has = getattr(wanted, setting, None), getattr(found, setting, None)
        if asked != has:
            raise TeacherMismatch(
                f"{teacher.name} has the weights of the {superlm.spec.teacher.name} that "
                f"{superlm.spec.reference} was distilled from, but makes other sentence vectors of "
                f"them: {setting} is {_said(has)}, not {_said(asked)}. Mend its 1_Pooling and "
                "modules.json.",
                expected=_said(asked),
                found=_said(has),
            )


def _said(value: object) -> str:
    return "nothing" if value is None else str(value)
