"""From a teacher and text to a SuperLM bundle: cut, train, evaluate every student, write."""

import datetime
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors.torch import save_file

from autodistil.architecture import SubSpace
from autodistil.candidates import Candidate
from autodistil.corpus import Corpus
from autodistil.evaluation import Measure, evaluate_students, held_out_batches
from autodistil.importance import calibration_batches, cut_superlm, teacher_encoder
from autodistil.spec import Provenance, SuperLMSpec, TeacherSpec
from autodistil.superlm import TOKENIZER, WEIGHTS, SuperLM, write_bundle_files
from autodistil.teacher import Teacher
from autodistil.training import StepReport, Trainer
from autodistil.training_settings import TrainingSettings
from autodistil.versions import software_versions


@dataclass(frozen=True)
class Progress:
    """Where a run reports to.

    Attributes:
        on_step: Called after every training step.
        on_student: Called whenever a student was scored on a held-out batch: done, total.
    """

    on_step: Callable[[StepReport], None] = lambda report: None
    on_student: Callable[[int, int], None] = lambda done, total: None


def distil(
    teacher: Teacher,
    space: SubSpace,
    corpus: Corpus,
    corpus_name: str,
    settings: TrainingSettings,
    name: str,
    work: Path,
    bundle: Path,
    device: str = "cpu",
    version: int = 1,
    checkpoint_seconds: float = 120.0,
    progress: Progress | None = None,
) -> SuperLM:
    """Train a SuperLM and write its bundle.

    Interrupted, the same call goes on where the last checkpoint in `work` was.

    Args:
        teacher: The teacher.
        space: The sub-space.
        corpus: Text.
        corpus_name: What the text is, in words, for the provenance.
        settings: Training settings; 0 tokens give the untrained permuted slices.
        name: Name of the SuperLM.
        work: Folder of checkpoint and loss curve.
        bundle: Folder of the bundle; replaced if it is there.
        device: Where to train.
        version: Version of the SuperLM.
        checkpoint_seconds: Time between two checkpoints.
        progress: Where to report to.
    """
    progress = progress or Progress()
    start = cut_superlm(teacher, space, calibration_batches(corpus.train, settings.seed))
    trainer = Trainer(teacher, space, start, corpus.train, settings, work, device)
    trainer.run(checkpoint_seconds, progress.on_step)
    partial = bundle.with_name(bundle.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    trainer.superlm.half()  # what ships is what is scored
    tensors = {key: tensor.detach().cpu() for key, tensor in trainer.superlm.tensors().items()}
    save_file(tensors, partial / WEIGHTS)
    teacher.tokenizer.save_pretrained(partial / TOKENIZER)
    candidates, held_out_tokens = _score(trainer, teacher, space, corpus, settings, progress)
    spec = SuperLMSpec(
        name=name,
        version=version,
        teacher=TeacherSpec(
            name=teacher.name, sha256=teacher.sha256, architecture=teacher.architecture
        ),
        encoder=teacher.encoder,
        space=space,
        kept_layers=start.kept_layers,
        teacher_layers=start.teacher_layers,
        pooling="mean" if teacher.mean_pooled else None,
        files={},
        provenance=Provenance(
            corpus=corpus_name,
            corpus_sha256=corpus.sha256,
            tokens_seen=trainer.tokens_seen,
            steps=trainer.step,
            settings=settings.model_dump(mode="json"),
            held_out_tokens=held_out_tokens,
            versions=software_versions(),
            created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        ),
    )
    checked = write_bundle_files(partial, spec, candidates)
    shutil.rmtree(bundle, ignore_errors=True)
    partial.rename(bundle)
    return replace(checked, folder=bundle)


def _score(
    trainer: Trainer,
    teacher: Teacher,
    space: SubSpace,
    corpus: Corpus,
    settings: TrainingSettings,
    progress: Progress,
) -> tuple[list[Candidate], int]:
    batches = held_out_batches(corpus.held_out, longest=teacher.encoder.max_position_embeddings)
    done, total = 0, len(batches) * space.size

    def on_student() -> None:
        nonlocal done
        done += 1
        progress.on_student(done, total)

    losses = evaluate_students(
        trainer.superlm.float().cpu(),
        space,
        teacher_encoder(teacher),
        teacher.architecture,
        batches,
        Measure(settings.relation_heads, settings.temperature),
        on_student,
    )
    heads = teacher.architecture.heads
    rows = [
        Candidate.build(student, space, teacher.encoder, heads, losses[student])
        for student in space.students()
    ]
    return rows, sum(batch.tokens for batch in batches)
