"""From a teacher and text to a SuperLM bundle: cut, train, evaluate every student, write."""

import datetime
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from accelerate import Accelerator
from safetensors.torch import save_file

from autodistil.evaluation.candidate_table import make_table
from autodistil.evaluation.held_out_text import held_out_text
from autodistil.families.architecture import Architecture
from autodistil.models.elastic import ElasticEncoder
from autodistil.models.teacher import Teacher, trim_teacher
from autodistil.spaces.spec import Provenance, SuperLMSpec, TeacherSpec
from autodistil.spaces.sub_space import SubSpace
from autodistil.superlm.bundle import TOKENIZER, WEIGHTS, SuperLM, open_superlm, write_bundle_files
from autodistil.text.vocabulary_texts import Texts
from autodistil.training.loss_curve import LOSSES, LossRow, read_losses, thin_losses, write_losses
from autodistil.training.settings import TrainingSettings
from autodistil.training.start import load_or_cut
from autodistil.training.trainer import Trainer
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


@dataclass(frozen=True)
class Distillation:
    """A SuperLM to be made.

    Attributes:
        teacher: The teacher.
        space: The sub-space.
        texts: Text, in the vocabularies of the sub-space.
        corpus_name: What the text is, in words, for the provenance.
        settings: Training settings; 0 tokens give the untrained permuted slices.
        name: Name of the SuperLM.
        version: Its version.
    """

    teacher: Teacher
    space: SubSpace
    texts: Texts
    corpus_name: str
    settings: TrainingSettings
    name: str
    version: int = 1


def distil(
    wanted: Distillation,
    work: Path,
    bundle: Path,
    accelerator: Accelerator | None = None,
    vectors: Path | None = None,
    checkpoint_seconds: float = 120.0,
    progress: Progress | None = None,
) -> SuperLM:
    """Train a SuperLM and write its bundle.

    Interrupted, the same call goes on where the last checkpoint in `work` was.

    Args:
        wanted: The SuperLM.
        work: Folder of checkpoint and loss curve.
        bundle: Folder of the bundle; replaced if it is there.
        accelerator: Devices and processes; by default the CPU alone.
        vectors: Folder for the teacher's sentence vectors, which runs on the same text may share;
            by default `work`.
        checkpoint_seconds: Time between two checkpoints.
        progress: Where to report to.
    """
    teacher, space, texts = wanted.teacher, wanted.space, wanted.texts
    settings = wanted.settings
    progress = progress or Progress()
    accelerator = accelerator or Accelerator(cpu=True)
    cut_from = teacher
    if texts.kept is not None:
        cut_from = trim_teacher(teacher, texts.kept, texts.tokenizer)
    calibration = texts.largest.train
    with accelerator.main_process_first():
        facts = (settings.start.model_dump_json(), settings.seed, space.model_dump_json())
        start = load_or_cut(
            work / START,
            f"{facts} {teacher.identity} {len(calibration)} {calibration.tokens}",
            cut_from,
            space,
            calibration,
            settings.start,
            settings.seed,
            progress.on_cut,
        )
    trainer = Trainer(teacher, space, start, texts, settings, work, accelerator, vectors)
    trainer.run(checkpoint_seconds, progress.on_step)
    if not accelerator.is_main_process:
        accelerator.wait_for_everyone()
        return open_superlm(bundle)
    trainer.finish()
    text = held_out_text(texts.own, texts.by_vocab, teacher.longest)
    spec = SuperLMSpec(
        name=wanted.name,
        version=wanted.version,
        teacher=TeacherSpec(
            name=teacher.name,
            sha256=teacher.sha256,
            architecture=_with_vocabulary(teacher, space),
            embedding=teacher.embedding,
        ),
        encoder=cut_from.encoder,
        space=space,
        kept_layers=start.kept_layers,
        teacher_layers=start.teacher_layers,
        tokens_per_text=texts.tokens_per_text(),
        files={},
        provenance=Provenance(
            corpus=wanted.corpus_name,
            corpus_sha256=texts.own.sha256,
            tokens_seen=trainer.tokens_seen,
            steps=trainer.step,
            settings=settings.model_dump(mode="json"),
            held_out_tokens=text.tokens,
            held_out_sha256=text.sha256,
            versions=software_versions(),
            created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        ),
    )
    trainer.superlm.half()  # what ships is what is scored
    partial = bundle.with_name(bundle.name + ".partial")
    _write_files(partial, trainer.superlm, cut_from, read_losses(work / LOSSES))
    superlm = trainer.superlm.float().cpu().eval()
    candidates = make_table(superlm, spec, teacher, text, work, progress.on_student)
    written = write_bundle_files(partial, spec, candidates)
    shutil.rmtree(bundle, ignore_errors=True)
    partial.rename(bundle)
    accelerator.wait_for_everyone()
    return replace(written, folder=bundle)


def _with_vocabulary(teacher: Teacher, space: SubSpace) -> Architecture:
    """The teacher's sizes; beside students with less, its vocabulary is one of them."""
    vocab = teacher.encoder.vocab_size if space.vocab else None
    return teacher.architecture.model_copy(update={"vocab": vocab})


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
