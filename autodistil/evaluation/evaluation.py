"""Held-out signals of every student of a SuperLM (paper, section 3.3): all that a search needs.

The teacher runs once per batch. Students of equal width are one pass, see
`autodistil.evaluation.shared_forward`; the result is that of running each alone.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch

from autodistil.evaluation.comparison import TeacherOutputs
from autodistil.evaluation.packed import PackedBatch
from autodistil.evaluation.score_log import ScoreLog
from autodistil.evaluation.shared_forward import Network, SharedForward, network_of
from autodistil.evaluation.signals import Signals
from autodistil.models.elastic import ElasticEncoder
from autodistil.spaces.architecture import Architecture
from autodistil.text.corpus import Batch, TokenizedText
from autodistil.training.settings import ObjectiveSettings, TrainingSettings

NEIGHBOURS: int = TrainingSettings.model_fields["neighbours"].default
"""Rows of a held-out batch that follow each other in the text, as trainings draw them by default.
The same for every SuperLM, however it was trained, so that the signals can be compared."""

_KIND = "signals-1"
"""Changes whenever the same students on the same text would get other signals."""


def held_out_batches(
    text: TokenizedText,
    seed: int = 0,
    rounds: int = 3,
    longest: int = 128,
    neighbours: int = NEIGHBOURS,
) -> list[Batch]:
    """Batches of 4,096 slots, each round one of 32, one of 64, and one of 128 tokens a row.

    Args:
        text: Held-out text.
        seed: Of the rows drawn.
        rounds: How often the three lengths are drawn.
        longest: Tokens that a row may have; lengths beyond are cut to it, and drawn once.
        neighbours: Rows that follow each other in the text.
    """
    return [
        text.batch(
            np.random.default_rng([seed, 0x4E1D, i, length]), 4096 // length, length, neighbours
        )
        for i in range(rounds)
        for length in sorted({min(length, longest) for length in (32, 64, 128)})
    ]


def hash_batches(batches: Sequence[Batch]) -> str:
    """sha256 over the tokens of some batches, row by row."""
    digest = hashlib.sha256()
    for batch in batches:
        for tensor in (batch.input_ids, batch.attention_mask):
            digest.update(f"{tuple(tensor.shape)}".encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


@torch.inference_mode()
def evaluate_students(
    superlm: ElasticEncoder,
    students: Iterable[Architecture],
    teacher: ElasticEncoder,
    teacher_architecture: Architecture,
    batches: Sequence[Batch],
    objective: ObjectiveSettings,
    on_student: Callable[[], None] = lambda: None,
    neighbours: int = NEIGHBOURS,
    log: Path | None = None,
) -> dict[Architecture, Signals]:
    """Signals of students, averaged over the batches.

    Args:
        superlm: The SuperLM.
        students: Students of it.
        teacher: The teacher.
        teacher_architecture: The teacher's sizes.
        batches: Held-out text.
        objective: Relation heads and their split, and the temperature of similarities.
        on_student: Called whenever the signals of a student on one batch are known, for progress.
        neighbours: Rows of a batch that follow each other in the text.
        log: A file that keeps every score as it is found; with it, an evaluation that was killed
            goes on where it was.
    """
    networks = {student: network_of(student, superlm.kept_layers) for student in students}
    teacher_network = network_of(teacher_architecture, teacher.kept_layers)
    packed = [PackedBatch.of(batch) for batch in batches]

    @cache  # one teacher for all widths; as large as its relations
    def teacher_outputs(number: int) -> TeacherOutputs:
        ((_, last),) = SharedForward.of(teacher, teacher_network).run(
            packed[number], [teacher_network.path]
        )
        return TeacherOutputs(packed[number], last, objective, neighbours)

    by_width = defaultdict(list)
    for student in networks:
        by_width[student.hidden, student.head_width].append(student)
    identity = ""
    if log is not None:
        identity = _identity(superlm, teacher, teacher_network, batches, objective, neighbours)
    with ScoreLog(log, identity) as scores:
        for alike in by_width.values():
            shared = SharedForward.of(superlm, networks[alike[0]])
            for number, batch in enumerate(packed):
                wanted = {}
                for student in alike:
                    if scores.get(student.name, number) is None:
                        wanted[networks[student].path] = student
                    else:
                        on_student()
                for path, last in shared.run(batch, wanted):
                    signals = teacher_outputs(number).compare(last)
                    scores.add(wanted[path].name, number, signals)
                    on_student()
        return {
            student: _mean([scores.get(student.name, number) for number in range(len(packed))])
            for student in networks
        }


def _mean(found: Sequence[Signals | None]) -> Signals:
    rows = [signals.model_dump() for signals in found if signals is not None]
    return Signals(**{name: sum(row[name] for row in rows) / len(rows) for name in rows[0]})


def _identity(
    superlm: ElasticEncoder,
    teacher: ElasticEncoder,
    teacher_network: Network,
    batches: Sequence[Batch],
    objective: ObjectiveSettings,
    neighbours: int,
) -> str:
    """Hash of everything that the signals of a student depend on."""
    facts = f"{_KIND} {teacher_network} {objective.measured.model_dump_json()} {neighbours}"
    digest = hashlib.sha256(facts.encode())
    for encoder in (superlm, teacher):
        digest.update(encoder.encoder.model_dump_json().encode())
        for name, tensor in sorted(encoder.tensors().items()):
            digest.update(f"{name}{tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    digest.update(hash_batches(batches).encode())
    return digest.hexdigest()
