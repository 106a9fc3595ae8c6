"""Training of a SuperLM: task-agnostic distillation with the sandwich rule (paper, section 3.2).

Every step sums the gradients of the largest, the smallest, and some random students. Where sentence
vectors alone are compared, the teacher's were worked out before and no teacher runs; each student
then reads a batch of its own, so that the same work reads more text. A step is a function of the
settings, the step's number, and the weights; so a run resumed from a checkpoint goes on exactly as
if it had never stopped.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from autodistil.errors import InvalidInput, TrainingDiverged
from autodistil.families.architecture import Architecture
from autodistil.models.elastic import ElasticEncoder
from autodistil.models.sentence_vectors import TRAINED_MAP, pool, to_teacher_space
from autodistil.models.teacher import Teacher
from autodistil.spaces.sub_space import SubSpace
from autodistil.text.corpus import Batch
from autodistil.text.passages import Passages, divide
from autodistil.text.vocabulary_texts import Texts
from autodistil.training.checkpoint import (
    CHECKPOINT,
    Position,
    read_checkpoint,
    run_identity,
    write_checkpoint,
)
from autodistil.training.loss_curve import LOSSES, LossOfStudent, LossRow
from autodistil.training.objective import (
    Compared,
    Target,
    active_terms,
    compared_layers,
    losses,
    make_target,
    total,
)
from autodistil.training.optimization import build_optimizer, set_learning_rate
from autodistil.training.precision import uses_bf16
from autodistil.training.sampling import Sampler, Task
from autodistil.training.settings import TrainingSettings
from autodistil.training.settings_check import check_settings
from autodistil.training.start import Start, teacher_encoder
from autodistil.training.teacher_vectors import TeacherVectors
from autodistil.training.vector_map import Sample, mapped_students, own_maps

_MAP_PASSAGES = 4096
"""Passages that the maps are solved on."""
_LENGTH_PASSAGES = 256
"""Passages that the mean length of a teacher's vectors is measured on."""
_SHARED_MAP = f"{TRAINED_MAP}.weight"


class Trainer:
    """One training run in one folder, in one process or in several of `accelerate launch`.

    Every process draws batches of its own and the same students; gradients are averaged over the
    processes once per step, and the first one writes the checkpoints.

    Args:
        teacher: The teacher.
        space: The sub-space.
        start: Where the SuperLM starts, from `autodistil.training.start.cut_superlm`.
        texts: Text to train on.
        settings: The settings.
        folder: Of the checkpoint and the loss curve; a checkpoint that lies there is resumed.
        accelerator: Devices and processes; by default the CPU alone.
        vectors: Folder where the teacher's sentence vectors are kept; by default `folder`. Runs
            on the same text may share it.

    Attributes:
        superlm: The SuperLM that is trained.
        sampler: Draws the batches and students of every step.
        step: Steps done.
        tokens_seen: Tokens seen, padding not counted, over all processes.

    Raises:
        InvalidInput: The settings do not fit the teacher.
        CheckpointMismatch: The checkpoint belongs to other settings, teacher, sub-space, text, or
            number of processes, or is damaged.
    """

    def __init__(
        self,
        teacher: Teacher,
        space: SubSpace,
        start: Start,
        texts: Texts,
        settings: TrainingSettings,
        folder: Path,
        accelerator: Accelerator | None = None,
        vectors: Path | None = None,
    ) -> None:
        check_settings(settings, teacher, space)
        self._settings, self._space, self._folder = settings, space, folder
        self._accelerator = accelerator or Accelerator(cpu=True)
        self._device = self._accelerator.device
        self._bf16 = uses_bf16(settings.precision, self._device)
        self._teacher_architecture = teacher.architecture
        self._teacher = teacher_encoder(teacher).to(self._device)
        self._pooling = teacher.pooling
        self._normalizes = teacher.embedding is None or teacher.embedding.normalize
        self._embed = replace(
            teacher, steps=deepcopy(teacher.steps).to(self._device)
        ).sentence_vectors
        self._compared = compared_layers(settings, teacher.architecture.layers)
        self._teacher_layers = start.teacher_layers
        self._channels = torch.tensor(start.channels, device=self._device)
        tensors = {name: tensor.clone() for name, tensor in start.tensors.items()}
        self.superlm = ElasticEncoder(tensors, start.encoder, start.kept_layers, settings.dropout)
        self.superlm.to(self._device)
        passages = divide(texts.own.train, settings.lengths, settings.length_weights, settings.seed)
        self.sampler = Sampler(settings, space, passages, texts.train, self._accelerator)
        self._optimizer = build_optimizer(self.superlm.tensors(), settings)
        self.step, self.tokens_seen = 0, 0
        self._identity = run_identity(
            settings, space, teacher, passages, start, self._accelerator.num_processes
        )
        folder.mkdir(parents=True, exist_ok=True)
        self._vectors: TeacherVectors | None = None
        self._centre: Tensor | None = None
        if settings.vector_weight or _SHARED_MAP in start.tensors:
            self._vectors = self._open_vectors(teacher, passages, texts, vectors or folder)
            if settings.vector_weight and settings.centred:
                self._centre = self._vectors.centre().to(self._device)
        if (folder / CHECKPOINT).is_file():
            self.step, self.tokens_seen = read_checkpoint(
                folder / CHECKPOINT,
                self._identity,
                self.superlm.tensors(),
                self._optimizer,
                self._device,
            )

    def _open_vectors(
        self, teacher: Teacher, passages: Passages, texts: Texts, folder: Path
    ) -> TeacherVectors:
        if teacher.embedding is None:
            raise InvalidInput(
                f"vector_weight: {teacher.name} is no sentence embedder (its folder has no "
                "1_Pooling/config.json), so it has no sentence vectors to match; set it to 0."
            )
        longest = min(max(self._settings.lengths), teacher.embedding.max_seq_length)
        name = f"teacher-{teacher.identity[:12]}-{passages.sha256[:12]}-{longest}.f16"
        return TeacherVectors(
            self._teacher_vectors,
            texts.own.train,
            passages,
            teacher.embedding.width,
            longest,
            folder / name,
        )

    @torch.inference_mode()
    def _teacher_vectors(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        mask = attention_mask.to(self._device)
        with self._autocast():
            given = (input_ids.to(self._device), mask, self._teacher_architecture)
            return self._embed(self._teacher(*given).hidden, mask)

    def run(
        self,
        checkpoint_seconds: float = 120.0,
        on_step: Callable[[LossRow], None] = lambda row: None,
    ) -> None:
        """Train until the settings' tokens are seen; save checkpoints on the way and at the end.

        Args:
            checkpoint_seconds: Time between two checkpoints.
            on_step: Called after every step, for progress; its students stand in the order of
                `Sampler.students`.

        Raises:
            TrainingDiverged: A loss or a gradient is no number any more.
        """
        if not self._accelerator.is_main_process:
            for _ in self._steps():
                pass
            return
        saved = time.monotonic()
        path = self._folder / LOSSES
        _truncate_losses(path, self.step)
        with path.open("a") as file:
            for row in self._steps():
                file.write(row.model_dump_json() + "\n")
                on_step(row)
                if time.monotonic() - saved > checkpoint_seconds:
                    file.flush()
                    self.save()
                    saved = time.monotonic()
        self.save()

    def _steps(self) -> Iterator[LossRow]:
        while self.tokens_seen < self._settings.tokens:
            yield self.train_step()

    def train_step(self) -> LossRow:
        """Train on the next batches, without saving anything; the losses are means over them.

        Raises:
            TrainingDiverged: A loss or a gradient is no number any more; the weights are as they
                were before the step.
        """
        students = self.sampler.students(self.step)
        rate = set_learning_rate(self._optimizer, self._settings, self.tokens_seen)
        terms, parts = active_terms(self._settings), self._settings.accumulate
        sums = torch.zeros(len(students), len(terms), device=self._device)
        tokens = torch.zeros((), dtype=torch.int64, device=self._device)
        for part in range(parts):
            found: list[Tensor] = []
            for task in self.sampler.tasks(self.step, part):
                tokens += self._backward(task, found)
            sums += torch.stack(found) / parts
        self._average_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.superlm.parameters(), self._settings.clip)
        # One look at the device for all numbers of a step.
        numbers = torch.cat([norm[None], sums.flatten()]).tolist()
        # Before the weights are touched, so that no checkpoint can hold what is no number.
        if not all(map(math.isfinite, numbers)):
            raise TrainingDiverged(
                f"Step {self.step + 1}: the loss is no number any more. Lower learning_rate, or "
                "set precision to fp32, and train in another folder."
            )
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=False)
        self.step += 1
        self.tokens_seen += self._over_processes(tokens)
        rows = [numbers[i : i + len(terms)] for i in range(1, len(numbers), len(terms))]
        return LossRow(
            step=self.step,
            tokens=self.tokens_seen,
            learning_rate=rate,
            students=tuple(
                LossOfStudent(name=student.name, losses=dict(zip(terms, row, strict=True)))
                for student, row in zip(students, rows, strict=True)
            ),
        )

    def _backward(self, task: Task, rows: list[Tensor]) -> Tensor:
        """Add the gradients of the students of a task, and append the losses of each, [terms].

        Returns:
            Tokens of the batch, padding not counted; a scalar on the device.
        """
        settings = self._settings
        if settings.dropout:
            torch.manual_seed(1_000_003 * settings.seed + self.step)
        batches = {
            vocab: self.sampler.read(task.passages, vocab)
            for vocab in {student.vocab for student in task.students}
        }
        first = batches[task.students[0].vocab]
        target = self._target(task, first)
        for student in task.students:
            batch = batches[student.vocab]
            with self._autocast():
                outputs = self.superlm.outputs(batch.input_ids, batch.attention_mask, student)
                layers = self.superlm.kept_layers[student.layers]
                found = losses(
                    settings,
                    outputs,
                    self._student_vectors(outputs[-1].hidden, batch, student),
                    target,
                    batch.attention_mask,
                    [self._teacher_layers[i] for i in layers],
                )
            torch.autograd.backward(total(settings, found) / settings.accumulate)
            rows.append(torch.stack([loss.detach().float() for loss in found.values()]))
        return first.attention_mask.sum()

    def _student_vectors(self, hidden: Tensor, batch: Batch, student: Architecture) -> Tensor:
        pooled = pool(hidden, batch.attention_mask, self._pooling)
        if not self._settings.vector_weight:
            return pooled
        return to_teacher_space(pooled, self.superlm.tensors(), student)

    def _target(self, task: Task, batch: Batch) -> Target:
        vectors = None
        if self._vectors is not None and self._settings.vector_weight:
            vectors = self._vectors.fetch(task.passages).to(self._device)
        outputs: Sequence[Compared] = ()
        if vectors is None or self._settings.compares_tokens:
            with torch.no_grad(), self._autocast():
                every = self._teacher.outputs(
                    batch.input_ids, batch.attention_mask, self._teacher_architecture
                )
                if vectors is None:
                    vectors = self._embed(every[-1].hidden, batch.attention_mask)
            outputs = [every[layer] for layer in self._compared]
        with self._autocast():
            return make_target(
                self._settings,
                batch.attention_mask,
                vectors,
                outputs,
                self._channels,
                self._centre,
            )

    def _autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._bf16)

    def _average_gradients(self) -> None:
        if self._accelerator.num_processes == 1:
            return
        gradients = [p.grad for p in self.superlm.parameters() if p.grad is not None]
        # Students of a step are the same in all processes, so the same parameters have gradients.
        flat = self._accelerator.reduce(torch.nn.utils.parameters_to_vector(gradients), "mean")
        torch.nn.utils.vector_to_parameters(flat, gradients)

    def _over_processes(self, tokens: Tensor) -> int:
        if self._accelerator.num_processes > 1:
            tokens = self._accelerator.reduce(tokens, "sum")
        return int(tokens)

    @torch.no_grad()
    def finish(self) -> None:
        """Give every depth and width a map of its own, in place of the one that all shared."""
        vectors = self._vectors
        if vectors is None or _SHARED_MAP not in self.superlm.tensors():
            return
        passages = self.sampler.passages
        count = min(_MAP_PASSAGES, len(passages))
        chosen = np.linspace(0, len(passages) - 1, count).astype(np.int64)
        chosen = chosen[np.argsort(passages.tokens[chosen], kind="stable")]
        parts = np.array_split(chosen, max(1, count // 64))

        def samples_of(student: Architecture) -> Iterator[Sample]:
            for part in parts:
                batch = self.sampler.read(part, student.vocab)
                yield batch, vectors.fetch(part).to(self._device)

        self.superlm.eval()
        tensors = {
            name: tensor
            for name, tensor in self.superlm.tensors().items()
            if not name.startswith(TRAINED_MAP)
        }
        maps = own_maps(self.superlm, mapped_students(self._space), samples_of, self._pooling)
        length = self._vector_length(vectors)
        tensors |= {name: length * tensor for name, tensor in maps.items()}
        self.superlm = ElasticEncoder(tensors, self.superlm.encoder, self.superlm.kept_layers)

    def _vector_length(self, vectors: TeacherVectors) -> float:
        """Length that the students' vectors are to have: the teacher's mean one if it does not
        normalise them, so that dot products and distances stay of the same size.
        """
        return 1.0 if self._normalizes else vectors.mean_length(_LENGTH_PASSAGES)

    def save(self) -> None:
        """Write the checkpoint; the old one stays until the new one is whole."""
        write_checkpoint(
            self._folder / CHECKPOINT,
            self._identity,
            Position(self.step, self.tokens_seen),
            self.superlm.tensors(),
            self._optimizer,
        )


def _truncate_losses(path: Path, step: int) -> None:
    """Drop rows that a killed run wrote after its last checkpoint."""
    if not path.is_file():
        return
    kept = path.read_text().splitlines()[:step]
    path.write_text("".join(line + "\n" for line in kept))
