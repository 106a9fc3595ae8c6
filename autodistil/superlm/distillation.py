"""From a teacher and text to a SuperLM bundle: cut, train, evaluate every student, write."""

import datetime
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from accelerate import Accelerator
from safetensors.torch import save_file

from autodistil.evaluation.candidate_table import make_table
from autodistil.evaluation.evaluation import hash_batches, held_out_batches
from autodistil.models.elastic import ElasticEncoder
from autodistil.models.teacher import Teacher
from autodistil.spaces.architecture import SubSpace
from autodistil.spaces.spec import Provenance, SuperLMSpec, TeacherSpec
from autodistil.superlm.bundle import TOKENIZER, WEIGHTS, SuperLM, open_superlm, write_bundle_files
from autodistil.text.corpus import Corpus
from autodistil.training.loss_curve import LOSSES, LossRow, read_losses, thin_losses, write_losses
from autodistil.training.settings import TrainingSettings
from autodistil.training.start import load_or_cut
from autodistil.training.training import Trainer
from autodistil.versions import software_versions

START = "start.safetensors"


@dataclass(frozen=True)
class Progress:
    """Where a run reports to.

    Attributes:
        on_cut: Called while the teacher is cut, see `autodistil.training.start`: done, total.
        on_step: Called after every training step.
        on_student: Called whenever a student was scored on a held-out batch: done, total.
    """

    on_cut: Callable[[int, int], None] = lambda done, total: None
    on_step: Callable[[LossRow], None] = lambda row: None
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
    accelerator: Accelerator | None = None,
    cache: Path | None = None,
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
        accelerator: Devices and processes; by default the CPU alone.
        cache: Folder for the teacher's outputs, for runs on the same batches.
        version: Version of the SuperLM.
        checkpoint_seconds: Time between two checkpoints.
        progress: Where to report to.
    """
    progress = progress or Progress()
    accelerator = accelerator or Accelerator(cpu=True)
    with accelerator.main_process_first():
        facts = (settings.start.model_dump_json(), settings.seed, space.model_dump_json())
        start = load_or_cut(
            work / START,
            f"{facts} {teacher.sha256} {len(corpus.train)} {corpus.train.tokens}",
            teacher,
            space,
            corpus.train,
            settings.start,
            settings.seed,
            progress.on_cut,
        )
    trainer = Trainer(teacher, space, start, corpus.train, settings, work, accelerator, cache)
    trainer.run(checkpoint_seconds, progress.on_step)
    if not accelerator.is_main_process:
        accelerator.wait_for_everyone()
        return open_superlm(bundle)
    held_out = held_out_batches(corpus.held_out, longest=teacher.encoder.max_position_embeddings)
    provenance = Provenance(
        corpus=corpus_name,
        corpus_sha256=corpus.sha256,
        tokens_seen=trainer.tokens_seen,
        steps=trainer.step,
        settings=settings.model_dump(mode="json"),
        held_out_tokens=sum(batch.tokens for batch in held_out),
        held_out_sha256=hash_batches(held_out),
        versions=software_versions(),
        created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
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
        provenance=provenance,
    )
    trainer.superlm.half()  # what ships is what is scored
    partial = bundle.with_name(bundle.name + ".partial")
    _write_files(partial, trainer.superlm, teacher, read_losses(work / LOSSES))
    candidates = make_table(
        trainer.superlm.float().cpu().eval(),
        space,
        teacher,
        held_out,
        settings,
        work,
        progress.on_student,
    )
    written = write_bundle_files(partial, spec, candidates)
    shutil.rmtree(bundle, ignore_errors=True)
    partial.rename(bundle)
    accelerator.wait_for_everyone()
    return replace(written, folder=bundle)


def _write_files(
    folder: Path, superlm: ElasticEncoder, teacher: Teacher, losses: list[LossRow]
) -> None:
    """Everything of a bundle but its spec and its candidates."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tensors = {key: tensor.detach().cpu() for key, tensor in superlm.tensors().items()}
    save_file(tensors, folder / WEIGHTS)
    teacher.tokenizer.save_pretrained(folder / TOKENIZER)
    if losses:
        write_losses(folder / LOSSES, thin_losses(losses))
