"""From a SuperLM, its teacher, and held-out text to a report on its mixtures.

The search sees one half of the text. What it proposes is judged by the other half, and only what is
surely better there than every student with as few MACs is reported as better.
"""

from collections.abc import Callable
from pathlib import Path
from statistics import fmean

from autodistil.errors import InvalidInput
from autodistil.evaluation.candidate_table import objective_of
from autodistil.evaluation.evaluation import held_out_batches
from autodistil.evaluation.score_log import ScoreLog
from autodistil.mixtures.front import Qualities, propose
from autodistil.mixtures.report import (
    GridStudent,
    MixtureReport,
    MixtureSettings,
    judge,
    overall_gain,
)
from autodistil.mixtures.scoring import MixtureScorer, scores_identity
from autodistil.mixtures.search import Search, evolve
from autodistil.models.teacher import Teacher
from autodistil.spaces.cost import exact_macs
from autodistil.spaces.mixture import Mixture
from autodistil.spaces.mixture_space import MixtureSpace
from autodistil.superlm.bundle import WEIGHTS, SuperLM
from autodistil.superlm.slicing import load_elastic
from autodistil.superlm.teacher_check import check_teacher
from autodistil.text.corpus import Batch, Corpus
from autodistil.training.start import teacher_encoder

PHASES = ("students", "search", "confirmation")

OnProgress = Callable[[str, int, int], None]
"""Called with one of `PHASES`, how much of it is done, and how much there is to do."""


def find_mixtures(
    superlm: SuperLM,
    teacher: Teacher,
    corpus: Corpus,
    settings: MixtureSettings,
    work: Path | None = None,
    on_progress: OnProgress = lambda phase, done, total: None,
    search: Search = evolve,
) -> MixtureReport:
    """Search the mixtures of a SuperLM and judge the best of them.

    Args:
        superlm: The SuperLM.
        teacher: The teacher that it was distilled from.
        corpus: Text; its held-out part is used.
        settings: Settings of the search.
        work: Folder where every measurement is kept as it is found; the same call, or one with
            more evaluations or another seed, measures nothing twice.
        on_progress: Called whenever a mixture was measured.
        search: How to search.

    Raises:
        TeacherMismatch: The SuperLM was distilled from another teacher.
        InvalidInput: The text cannot be divided, the work folder cannot be written, or `pymoo` is
            missing.
        InvalidBundle: The bundle's provenance holds impossible settings.
    """
    check_teacher(superlm, teacher)
    space = MixtureSpace.of(superlm.spec)
    selecting, judging = _draw_batches(corpus, teacher, settings)
    measure = _Measure(superlm, teacher, [*selecting, *judging], len(selecting), work)
    with measure.log:
        seen = range(len(selecting))
        unseen = range(len(selecting), len(selecting) + len(judging))
        grid = [Mixture.of(student) for student in space.space.students()]
        students: dict[Mixture, list[float]] = {}
        for student in grid:
            students[student] = [measure.agreement(student, number) for number in seen]
            on_progress("students", len(students), len(grid))
        selection = dict(students)

        def score(mixture: Mixture) -> float:
            selection[mixture] = [measure.agreement(mixture, number) for number in seen]
            on_progress("search", len(selection) - len(grid), settings.evaluations)
            return fmean(selection[mixture])

        known = {student: fmean(found) for student, found in students.items()}
        mixtures = search(
            space, known, score, settings.evaluations, settings.population, settings.seed
        )
        proposed = propose(students, {m: selection[m] for m in mixtures}, settings.proposals)
        confirmation = _confirm(measure, [*grid, *proposed], unseen, on_progress)
    held, dropped = judge(superlm.spec, selection, confirmation, proposed)
    return MixtureReport(
        superlm=superlm.spec.reference,
        weights_sha256=superlm.spec.files[WEIGHTS].sha256,
        teacher=superlm.spec.teacher.name,
        corpus_sha256=corpus.sha256,
        settings=settings,
        space_size=space.size,
        evaluated=len(mixtures),
        selection_batches=len(selecting),
        confirmation_batches=len(judging),
        grid=tuple(_grid_row(student, selection, confirmation) for student in grid),
        held=tuple(held),
        dropped=tuple(dropped),
        gain=overall_gain(selection, confirmation, proposed),
    )


class _Measure:
    """Qualities of the mixtures of a SuperLM on numbered batches."""

    def __init__(
        self,
        superlm: SuperLM,
        teacher: Teacher,
        batches: list[Batch],
        teachers_kept: int,
        work: Path | None,
    ) -> None:
        self._spec = superlm.spec
        objective = objective_of(superlm.spec).measured
        identity = scores_identity(superlm.spec, objective, batches)
        path = None if work is None else work / f"mixtures-{identity[:16]}.jsonl"
        self.log = ScoreLog(path, identity)
        self._scorer = MixtureScorer(
            load_elastic(superlm),
            teacher_encoder(teacher),
            teacher.architecture,
            batches,
            objective,
            self.log,
            teachers_kept,
        )

    def agreement(self, mixture: Mixture, number: int) -> float:
        """Agreement of a mixture with the teacher on the neighbours in one batch."""
        return self._scorer.signals(mixture, number).neighbour_agreement


def _confirm(
    measure: _Measure,
    mixtures: list[Mixture],
    numbers: range,
    on_progress: OnProgress,
) -> dict[Mixture, list[float]]:
    """Qualities on the batches that the search did not see, batch by batch."""
    found: dict[Mixture, list[float]] = {mixture: [] for mixture in mixtures}
    done = 0
    for number in numbers:
        for mixture in mixtures:
            found[mixture].append(measure.agreement(mixture, number))
            done += 1
            on_progress("confirmation", done, len(numbers) * len(mixtures))
    return found


def _draw_batches(
    corpus: Corpus, teacher: Teacher, settings: MixtureSettings
) -> tuple[list[Batch], list[Batch]]:
    """Batches for the search and batches to judge it, of different documents."""
    first, second = corpus.held_out.halves()
    longest = teacher.encoder.max_position_embeddings
    selecting = held_out_batches(first, rounds=settings.selection_rounds, longest=longest)
    judging = held_out_batches(second, rounds=settings.confirmation_rounds, longest=longest)
    if len(judging) < 2:
        raise InvalidInput("confirmation_rounds must be 2 at least: one batch has no spread.")
    return selecting, judging


def _grid_row(student: Mixture, selection: Qualities, confirmation: Qualities) -> GridStudent:
    architecture = student.per_layer[0]
    return GridStudent(
        architecture=architecture,
        macs=exact_macs(architecture),
        selection=fmean(selection[student]),
        agreement=fmean(confirmation[student]),
    )
