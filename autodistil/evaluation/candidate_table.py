"""The candidate table of a SuperLM: every student with its cost and its held-out signals."""

from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from autodistil.errors import InvalidBundle, explain
from autodistil.evaluation.candidates import Candidate
from autodistil.evaluation.held_out_text import HeldOutText
from autodistil.evaluation.students import MeasuredTeacher, evaluate_students
from autodistil.models.elastic import ElasticEncoder
from autodistil.models.teacher import Teacher
from autodistil.spaces.spec import SuperLMSpec
from autodistil.training.settings import ObjectiveSettings
from autodistil.training.start import teacher_encoder

_MEASURED = ("relation_heads", "relation_split", "temperature")

SCORES = "scores.jsonl"
"""Name of the file of scores found so far, in the folder of a run."""


def objective_of(spec: SuperLMSpec) -> ObjectiveSettings:
    """How the table of a SuperLM was measured, also if its other settings are of another time.

    Raises:
        InvalidBundle: Its settings of that are impossible.
    """
    settings = spec.provenance.settings
    known = {name: settings[name] for name in _MEASURED if name in settings}
    try:
        return ObjectiveSettings.model_validate(known)
    except ValidationError as error:
        raise InvalidBundle(f"The settings of {spec.reference}: {explain(error)}.") from error


def make_table(
    superlm: ElasticEncoder,
    spec: SuperLMSpec,
    teacher: Teacher,
    text: HeldOutText,
    work: Path,
    on_student: Callable[[int, int], None] = lambda done, total: None,
) -> list[Candidate]:
    """Score every student of a SuperLM; interrupted, the same call goes on where it was.

    Args:
        superlm: The SuperLM, as it ships.
        spec: Its spec.
        teacher: Its teacher.
        text: Held-out text.
        work: Folder of the scores found so far.
        on_student: Called with how many students were scored on a batch, and will be in all.
    """
    done, total = 0, len(text.own) * spec.space.size

    def count() -> None:
        nonlocal done
        done += 1
        on_student(done, total)

    signals = evaluate_students(
        superlm,
        spec.space.students(),
        measured_teacher(teacher),
        text,
        objective_of(spec).measured,
        count,
        log=work / SCORES,
    )
    return [
        Candidate.build(student, spec.space.name, spec.cost_of(student), found)
        for student, found in signals.items()
    ]


def measured_teacher(teacher: Teacher) -> MeasuredTeacher:
    """A teacher as students are compared with it."""
    encoder = teacher_encoder(teacher)
    return MeasuredTeacher(encoder, teacher.architecture, teacher.embedding, teacher.steps)
