"""Held-out signals of every student of a SuperLM (paper, section 3.3): all that a search needs.

The teacher runs once per batch. Students of equal width are one pass, see
`autodistil.evaluation.shared_forward`; the result is that of running each alone.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from autodistil.evaluation.comparison import RelationComparison, SentenceComparison
from autodistil.evaluation.held_out_text import NEIGHBOURS, HeldOutText
from autodistil.evaluation.packed import PackedBatch
from autodistil.evaluation.score_log import ScoreLog
from autodistil.evaluation.shared_forward import SharedForward, network_of
from autodistil.evaluation.signals import Signals
from autodistil.families.architecture import Architecture
from autodistil.models.elastic import ElasticEncoder
from autodistil.models.sentence_steps import apply_steps
from autodistil.models.sentence_vectors import to_teacher_space
from autodistil.spaces.embedding import Pooling, SentenceEmbedding
from autodistil.training.settings import ObjectiveSettings

_KIND = "signals-2"
"""Changes whenever the same students on the same text would get other signals."""


class MeasuredTeacher(NamedTuple):
    """A teacher as students are compared with it.

    Attributes:
        encoder: The teacher.
        architecture: Its sizes.
        embedding: How it embeds sentences; None: it does not, its layers are compared.
        steps: From its pooled to its final vectors, as of `Teacher`.
    """

    encoder: ElasticEncoder
    architecture: Architecture
    embedding: SentenceEmbedding | None
    steps: nn.Module

    @property
    def pooling(self) -> Pooling:
        """How sentence vectors are made of its token vectors."""
        return self.embedding.pooling if self.embedding else Pooling.MEAN


class _Wanted(NamedTuple):
    """What a teacher computed for a batch, prepared once for all students."""

    sentences: SentenceComparison
    relations: RelationComparison | None


@torch.inference_mode()
def evaluate_students(
    superlm: ElasticEncoder,
    students: Iterable[Architecture],
    teacher: MeasuredTeacher,
    text: HeldOutText,
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
        text: Held-out text, in the vocabularies of the students.
        objective: Relation heads and their split, and the temperature of similarities.
        on_student: Called whenever the signals of a student on one batch are known, for progress.
        neighbours: Rows of a batch that follow each other in the text.
        log: A file that keeps every score as it is found; with it, an evaluation that was killed
            goes on where it was.
    """
    networks = {student: network_of(student, superlm.kept_layers) for student in students}
    packed = {
        vocab: [PackedBatch.of(batch) for batch in text.by_vocab[vocab]]
        for vocab in {student.vocab for student in networks}
    }
    own = [PackedBatch.of(batch) for batch in text.own]
    network = network_of(teacher.architecture, teacher.encoder.kept_layers)
    tensors = superlm.tensors()

    @cache  # one teacher for all widths; as large as its relations
    def wanted(number: int) -> _Wanted:
        ((_, last),) = SharedForward.of(teacher.encoder, network).run(own[number], [network.route])
        vectors = apply_steps(teacher.steps, own[number].pool(last.hidden, teacher.pooling))
        relations = None
        if teacher.embedding is None:
            relations = RelationComparison(own[number], last, objective)
        return _Wanted(SentenceComparison(vectors, objective.temperature, neighbours), relations)

    alike = defaultdict(list)
    for student in networks:
        alike[student.hidden, student.head_width, student.vocab].append(student)
    identity = ""
    if log is not None:
        identity = _identity(superlm, teacher, text, objective, neighbours)
    with ScoreLog(log, identity) as scores:
        for (_, _, vocab), group in alike.items():
            shared = SharedForward.of(superlm, networks[group[0]])
            for number, batch in enumerate(packed[vocab]):
                missing = {}
                for student in group:
                    if scores.get(student.name, number) is None:
                        missing[networks[student].route] = student
                    else:
                        on_student()
                for path, last in shared.run(batch, missing):
                    student, target = missing[path], wanted(number)
                    pooled = batch.pool(last.hidden, teacher.pooling)
                    vectors = to_teacher_space(pooled, tensors, student)
                    same_space = teacher.embedding is not None and (
                        vectors.shape[1] == teacher.embedding.width
                    )
                    found = target.sentences.compare(vectors, same_space)
                    if target.relations is not None:
                        found |= target.relations.compare(last)
                    scores.add(student.name, number, Signals.model_validate(found))
                    on_student()
        return {
            student: _mean([scores.get(student.name, number) for number in range(len(own))])
            for student in networks
        }


def _mean(found: Sequence[Signals | None]) -> Signals:
    rows = [signals.model_dump(exclude_none=True) for signals in found if signals is not None]
    return Signals(**{name: sum(row[name] for row in rows) / len(rows) for name in rows[0]})


def _identity(
    superlm: ElasticEncoder,
    teacher: MeasuredTeacher,
    text: HeldOutText,
    objective: ObjectiveSettings,
    neighbours: int,
) -> str:
    """Hash of everything that the signals of a student depend on."""
    facts = (
        f"{_KIND} {teacher.architecture.name} {teacher.embedding} {teacher.steps} "
        f"{objective.measured.model_dump_json()} {neighbours} {text.sha256} {text.hashes()}"
    )
    digest = hashlib.sha256(facts.encode())
    for encoder in (superlm, teacher.encoder):
        digest.update(encoder.encoder.model_dump_json().encode())
        for name, tensor in sorted(encoder.tensors().items()):
            digest.update(f"{name}{tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    for tensor in teacher.steps.state_dict().values():
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
