"""Training of a SuperLM: task-agnostic distillation with the sandwich rule (paper, section 3.2).

Every step draws batches, runs the teacher once on each, and sums the gradients of the largest, the
smallest, and some random students. A step is a function of the settings, the step's number, and the
weights; so a run resumed from a checkpoint goes on exactly as if it had never stopped.
"""

import hashlib
import json
import math
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from autodistil.errors import CheckpointMismatch, InvalidInput
from autodistil.models.elastic import ElasticEncoder, LayerOutput
from autodistil.models.teacher import Teacher
from autodistil.spaces.architecture import Architecture, SubSpace
from autodistil.spaces.cost import exact_macs
from autodistil.text.corpus import Batch, TokenizedText
from autodistil.training.loss_curve import LOSSES, LossOfStudent, LossRow
from autodistil.training.objective import (
    Compared,
    Losses,
    Target,
    compared_layers,
    losses,
    make_target,
)
from autodistil.training.settings import Extreme, TrainingSettings
from autodistil.training.start import Start, teacher_encoder
from autodistil.training.teacher_cache import TeacherCache

CHECKPOINT = "checkpoint.safetensors"


def check_settings(settings: TrainingSettings, teacher: Teacher, space: SubSpace) -> None:
    """Refuse settings that fit no teacher and sub-space such as these.

    Raises:
        InvalidInput: Says which setting, and what would do.
    """
    sizes = teacher.architecture
    widths = {student.attention_width for student in space.students()} | {sizes.attention_width}
    common = math.gcd(*widths)
    if common % settings.relation_heads:
        possible = [n for n in range(1, common + 1) if common % n == 0]
        raise InvalidInput(
            f"{settings.relation_heads} relation heads do not divide every attention width "
            f"{sorted(widths)}; possible are {possible}."
        )
    positions = teacher.encoder.max_position_embeddings
    if max(settings.lengths) > positions:
        raise InvalidInput(
            f"Rows of {max(settings.lengths)} tokens are longer than the teacher's "
            f"{positions} positions; set shorter lengths."
        )
    if -settings.teacher_layer > sizes.layers:
        raise InvalidInput(
            f"teacher_layer {settings.teacher_layer}: the teacher has {sizes.layers} layers."
        )


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
        self.settings, self.space, self._text, self._folder = settings, space, text, folder
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
        self._strata = _strata(space, settings) if settings.stratified else []
        self._optimizer = self._build_optimizer()
        self.step, self.tokens_seen = 0, 0
        self._identity = _identity(
            settings, space, teacher, text, start, self._accelerator.num_processes
        )
        self._cache = TeacherCache(cache, teacher.sha256, self._compared) if cache else None
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / CHECKPOINT).is_file():
            self._resume()

    def run(
        self,
        checkpoint_seconds: float = 120.0,
        on_step: Callable[[LossRow], None] = lambda row: None,
    ) -> None:
        """Train until the settings' tokens are seen; save checkpoints on the way and at the end.

        Args:
            checkpoint_seconds: Time between two checkpoints.
            on_step: Called after every step, for progress; its students stand in the order of
                `draw_students`.
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
        while self.tokens_seen < self.settings.tokens:
            yield self.train_step()

    def train_step(self) -> LossRow:
        """Train on the next batches, without saving anything; the losses are means over them."""
        students = self.draw_students(self.step)
        rate = self._set_learning_rate()
        sums = [(0.0, 0.0)] * len(students)
        tokens = 0
        for part in range(self.settings.accumulate):
            batch = self.draw_batch(self.step, part)
            tokens += batch.tokens
            for number, found in enumerate(self._backward(batch, students)):
                relation, similarity = sums[number]
                sums[number] = (relation + found[0], similarity + found[1])
        self._average_gradients()
        torch.nn.utils.clip_grad_norm_(self.superlm.parameters(), self.settings.clip)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=False)
        self.step += 1
        self.tokens_seen += self._over_processes(tokens)
        parts = self.settings.accumulate
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
        settings, mask = self.settings, batch.attention_mask
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
            self.settings, outputs, target, mask, [self._teacher_layers[i] for i in layers]
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
        enabled = self.settings.precision == "bf16"
        return torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=enabled)

    def draw_batch(self, step: int, part: int = 0) -> Batch:
        """Batch of a step, of one of its parts, of this process; the same whenever it is asked."""
        settings, accelerator = self.settings, self._accelerator
        if settings.distinct_batches:
            step %= settings.distinct_batches
        # The length is one for the whole step, so that no process waits for the others.
        length_rng = np.random.default_rng([settings.seed, step, 0])
        weights = np.array(settings.length_weights) / sum(settings.length_weights)
        length = int(length_rng.choice(settings.lengths, p=weights))
        # Two processes draw what one would draw in two parts.
        index = part * accelerator.num_processes + accelerator.process_index
        rng = np.random.default_rng([settings.seed, step, index, 0])
        rows = max(2, settings.batch_tokens // length)
        batch = self._text.batch(rng, rows, length, settings.neighbours, settings.thinned)
        return Batch(batch.input_ids.to(self._device), batch.attention_mask.to(self._device))

    def draw_students(self, step: int) -> list[Architecture]:
        """Students of a step; the same in all processes, and whenever they are asked for."""
        settings, space = self.settings, self.space
        extremes = {Extreme.LARGEST: space.largest, Extreme.SMALLEST: space.smallest}
        chosen = [extremes[extreme] for extreme in settings.extremes]
        rng = random.Random(f"{settings.seed} {step}")
        if self._strata:
            return [*chosen, *(rng.choice(stratum) for stratum in self._strata)]
        return [*chosen, *(space.sample(rng) for _ in range(settings.random_students))]

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

    def _build_optimizer(self) -> torch.optim.AdamW:
        settings = self.settings
        groups: dict[tuple[float, float], list[Tensor]] = {}
        for name, tensor in self.superlm.tensors().items():
            share = settings.embedding_rate if "embeddings.weight" in name else 1.0
            decay = settings.weight_decay if tensor.ndim > 1 else 0.0
            groups.setdefault((share, decay), []).append(tensor)
        return torch.optim.AdamW(
            [
                {"params": tensors, "weight_decay": decay, "share": share}
                for (share, decay), tensors in groups.items()
            ],
            lr=settings.learning_rate,
            betas=(0.9, 0.98),
            fused=True,
        )

    def _set_learning_rate(self) -> float:
        """Linear warm-up, then a cosine to zero, over the share of tokens seen."""
        done = self.tokens_seen / self.settings.tokens
        warmup = self.settings.warmup
        if done < warmup:
            factor = max(done, 1e-3) / warmup
        else:
            factor = 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))
        rate = self.settings.learning_rate * factor
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["share"]
        return rate

    def save(self) -> None:
        """Write the checkpoint; the old one stays until the new one is whole."""
        tensors: dict[str, Tensor] = {}
        for name, parameter in self.superlm.tensors().items():
            tensors[f"weights/{name}"] = parameter.detach()
            state = self._optimizer.state.get(parameter, {})
            for moment in ("exp_avg", "exp_avg_sq", "step"):
                if moment in state:
                    tensors[f"{moment}/{name}"] = state[moment]
        metadata = {"identity": self._identity, "step": self.step, "tokens_seen": self.tokens_seen}
        partial = self._folder / (CHECKPOINT + ".partial")
        save_file(
            {key: value.contiguous() for key, value in tensors.items()},
            partial,
            metadata={"run": json.dumps(metadata)},
        )
        os.replace(partial, self._folder / CHECKPOINT)

    def _resume(self) -> None:
        path = self._folder / CHECKPOINT
        try:
            with safe_open(path, framework="pt", device=str(self._device)) as file:
                metadata = json.loads((file.metadata() or {}).get("run", "{}"))
                if metadata.get("identity") != self._identity:
                    raise CheckpointMismatch(
                        f"{path} was written by a run with other settings, teacher, sub-space, "
                        "or text; use the same ones to resume it, or another folder to start anew."
                    )
                saved = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise CheckpointMismatch(f"{path} is damaged ({error}); delete it.") from error
        self.step, self.tokens_seen = metadata["step"], metadata["tokens_seen"]
        parameters = self.superlm.tensors()
        if missing := sorted(
            f"weights/{name}" for name in parameters if f"weights/{name}" not in saved
        ):
            raise CheckpointMismatch(f"{path} lacks the tensor {missing[0]}; delete it.")
        for name, parameter in parameters.items():
            parameter.data.copy_(saved[f"weights/{name}"])
            state = {
                moment: saved[f"{moment}/{name}"]
                for moment in ("exp_avg", "exp_avg_sq", "step")
                if f"{moment}/{name}" in saved
            }
            if state:
                self._optimizer.state[parameter] = state


def _detach(output: LayerOutput) -> LayerOutput:
    return LayerOutput(*(tensor.detach() for tensor in output))


def _strata(space: SubSpace, settings: TrainingSettings) -> list[list[Architecture]]:
    """The students by MACs, in as many equal shares as random students are drawn."""
    ordered = sorted(space.students(), key=exact_macs)
    shares = min(settings.random_students, len(ordered))
    ends = [len(ordered) * share // shares for share in range(shares + 1)] if shares else [0]
    return [ordered[low:high] for low, high in pairwise(ends)]


def _identity(
    settings: TrainingSettings,
    space: SubSpace,
    teacher: Teacher,
    text: TokenizedText,
    start: Start,
    processes: int,
) -> str:
    """What must be the same for a run to be resumed; of the text, how much there is of it."""
    parts = (settings.model_dump_json(), space.model_dump_json(), teacher.sha256, processes)
    whole = f"{parts} {start.kept_layers} {start.teacher_layers} {len(text)} {text.tokens}"
    return hashlib.sha256(whole.encode()).hexdigest()


def _truncate_losses(path: Path, step: int) -> None:
    """Drop rows that a killed run wrote after its last checkpoint."""
    if not path.is_file():
        return
    kept = path.read_text().splitlines()[:step]
    path.write_text("".join(line + "\n" for line in kept))
