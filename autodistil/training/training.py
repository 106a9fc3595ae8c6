"""Training of a SuperLM: task-agnostic distillation with the sandwich rule (paper, section 3.2).

Every step draws batches, runs the teacher once on each, and sums the gradients of the largest, the
smallest, and some random students. A step is a function of the settings, the step's number, and the
weights; so a run resumed from a checkpoint goes on exactly as if it had never stopped.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import chain
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from autodistil.errors import TrainingDiverged
from autodistil.models.elastic import ElasticEncoder, LayerOutput
from autodistil.models.teacher import Teacher
from autodistil.spaces.architecture import Architecture, SubSpace
from autodistil.text.corpus import Batch, TokenizedText
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
    Losses,
    Target,
    compared_layers,
    losses,
    make_target,
)
from autodistil.training.optimization import build_optimizer, set_learning_rate
from autodistil.training.sampling import Sampler
from autodistil.training.settings import TrainingSettings
from autodistil.training.settings_check import check_settings
from autodistil.training.start import Start, teacher_encoder
from autodistil.training.teacher_cache import TeacherCache


class Trainer:
    """One training run in one folder, in one process or in several of `accelerate launch`.

    Every process draws batches of its own and the same students; gradients are averaged over the
    processes once per step, and the first one writes the checkpoints.

    Args:
        teacher: The teacher.
        space: The sub-space.
        start: Where the SuperLM starts, from `autodistil.training.start.cut_superlm`.
        text: Text to train on.
        settings: The settings.
        folder: Of the checkpoint and the loss curve; a checkpoint that lies there is resumed.
        accelerator: Devices and processes; by default the CPU alone.
        cache: Where the teacher's outputs are kept for runs on the same batches, if anywhere.

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
        text: TokenizedText,
        settings: TrainingSettings,
        folder: Path,
        accelerator: Accelerator | None = None,
        cache: Path | None = None,
    ) -> None:
        check_settings(settings, teacher, space)
        self._settings, self._folder = settings, folder
        self._accelerator = accelerator or Accelerator(cpu=True)
        self._device = self._accelerator.device
        self._teacher_architecture = teacher.architecture
        self._teacher = teacher_encoder(teacher).to(self._device)
        self._compared = compared_layers(settings, teacher.architecture.layers)
        self._teacher_layers = start.teacher_layers
        self._channels = torch.tensor(start.channels, device=self._device)
        tensors = {name: tensor.clone() for name, tensor in start.tensors.items()}
        self.superlm = ElasticEncoder(tensors, teacher.encoder, start.kept_layers, settings.dropout)
        self.superlm.to(self._device)
        self.sampler = Sampler(settings, space, text, self._accelerator)
        self._optimizer = build_optimizer(self.superlm.tensors(), settings)
        self.step, self.tokens_seen = 0, 0
        self._identity = run_identity(
            settings, space, teacher, text, start, self._accelerator.num_processes
        )
        self._cache = TeacherCache(cache, teacher.sha256, self._compared) if cache else None
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / CHECKPOINT).is_file():
            self.step, self.tokens_seen = read_checkpoint(
                folder / CHECKPOINT,
                self._identity,
                self.superlm.tensors(),
                self._optimizer,
                self._device,
            )

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
        sums = [(0.0, 0.0)] * len(students)
        tokens = 0
        for part in range(self._settings.accumulate):
            batch = self.sampler.batch(self.step, part)
            tokens += batch.tokens
            for number, found in enumerate(self._backward(batch, students)):
                relation, similarity = sums[number]
                sums[number] = (relation + found[0], similarity + found[1])
        self._average_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.superlm.parameters(), self._settings.clip)
        # Before the weights are touched, so that no checkpoint can hold what is no number.
        if not all(map(math.isfinite, chain([norm.item()], *sums))):
            raise TrainingDiverged(
                f"Step {self.step + 1}: the loss is no number any more. Lower learning_rate, or "
                "set precision to fp32, and train in another folder."
            )
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=False)
        self.step += 1
        self.tokens_seen += self._over_processes(tokens)
        parts = self._settings.accumulate
        return LossRow(
            step=self.step,
            tokens=self.tokens_seen,
            learning_rate=rate,
            students=tuple(
                LossOfStudent(
                    name=student.name, relation=relation / parts, similarity=similarity / parts
                )
                for student, (relation, similarity) in zip(students, sums, strict=True)
            ),
        )

    def _backward(
        self, batch: Batch, students: list[Architecture]
    ) -> Iterator[tuple[float, float]]:
        """Add the gradients of the students on one batch; yields their losses."""
        settings, mask = self._settings, batch.attention_mask
        if settings.dropout:
            torch.manual_seed(1_000_003 * settings.seed + self.step)
        with self._autocast():
            target = make_target(settings, self._run_teacher(batch), mask, self._channels)
        for student in students:
            with self._autocast():
                outputs = self.superlm.outputs(batch.input_ids, mask, student)
                found = self._losses(outputs, student, target, mask)
            torch.autograd.backward(found.total / settings.accumulate)
            if settings.in_place and student is students[0]:
                with torch.no_grad(), self._autocast():
                    detached = _detach(outputs[-1])
                    target = make_target(settings, [detached], mask)
            yield found.relation.item(), found.similarity.item()

    def _losses(
        self, outputs: list[LayerOutput], student: Architecture, target: Target, mask: Tensor
    ) -> Losses:
        layers = self.superlm.kept_layers[student.layers]
        return losses(
            self._settings, outputs, target, mask, [self._teacher_layers[i] for i in layers]
        )

    def _run_teacher(self, batch: Batch) -> Sequence[Compared]:
        def run() -> Sequence[Compared]:
            with torch.no_grad(), self._autocast():
                outputs = self._teacher.outputs(
                    batch.input_ids, batch.attention_mask, self._teacher_architecture
                )
            return [outputs[layer] for layer in self._compared]

        return self._cache.fetch(batch, run) if self._cache else run()

    def _autocast(self) -> AbstractContextManager[object]:
        enabled = self._settings.precision == "bf16"
        return torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=enabled)

    def _average_gradients(self) -> None:
        if self._accelerator.num_processes == 1:
            return
        gradients = [p.grad for p in self.superlm.parameters() if p.grad is not None]
        # Students of a step are the same in all processes, so the same parameters have gradients.
        flat = self._accelerator.reduce(torch.nn.utils.parameters_to_vector(gradients), "mean")
        torch.nn.utils.vector_to_parameters(flat, gradients)

    def _over_processes(self, tokens: int) -> int:
        if self._accelerator.num_processes == 1:
            return tokens
        return int(self._accelerator.reduce(torch.tensor(tokens, device=self._device), "sum"))

    def save(self) -> None:
        """Write the checkpoint; the old one stays until the new one is whole."""
        write_checkpoint(
            self._folder / CHECKPOINT,
            self._identity,
            Position(self.step, self.tokens_seen),
            self.superlm.tensors(),
            self._optimizer,
        )


def _detach(output: LayerOutput) -> LayerOutput:
    return LayerOutput(*(tensor.detach() for tensor in output))


def _truncate_losses(path: Path, step: int) -> None:
    """Drop rows that a killed run wrote after its last checkpoint."""
    if not path.is_file():
        return
    kept = path.read_text().splitlines()[:step]
    path.write_text("".join(line + "\n" for line in kept))
