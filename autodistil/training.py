"""Training of a SuperLM: task-agnostic distillation with the sandwich rule (paper, section 3.2).

Every step draws one batch, runs the teacher once, and sums the gradients of the largest, the
smallest, and some random students. A step is a function of the settings, the step's number, and the
weights; so a run resumed from a checkpoint goes on exactly as if it had never stopped.
"""

import hashlib
import json
import math
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from autodistil.architecture import Architecture, SubSpace
from autodistil.corpus import Batch, TokenizedText
from autodistil.elastic import ElasticEncoder
from autodistil.errors import CheckpointMismatch, InvalidInput
from autodistil.importance import Start, teacher_encoder
from autodistil.relations import (
    RelationTarget,
    relation_loss,
    relation_scores,
    relation_target,
    similarity_log_probabilities,
    similarity_loss,
)
from autodistil.teacher import Teacher
from autodistil.training_settings import TrainingSettings

CHECKPOINT = "checkpoint.safetensors"
LOSSES = "losses.jsonl"


class StudentLoss(NamedTuple):
    """Losses of one student on one batch."""

    architecture: Architecture
    relation: float
    similarity: float


class StepReport(NamedTuple):
    """What a step did.

    Attributes:
        step: Number of the step, from 1.
        tokens: Tokens seen so far.
        learning_rate: Rate of the step.
        losses: Losses of the largest, the smallest, and the drawn students, in that order.
    """

    step: int
    tokens: int
    learning_rate: float
    losses: list[StudentLoss]


class Target(NamedTuple):
    """What the teacher computed on a batch."""

    relations: RelationTarget
    similarity: Tensor


def check_relation_heads(relation_heads: int, teacher: Architecture, space: SubSpace) -> None:
    """Refuse a number of relation heads that does not divide every attention width.

    Raises:
        InvalidInput: Names the widths and the numbers that work.
    """
    widths = {student.attention_width for student in space.students()} | {teacher.attention_width}
    common = math.gcd(*widths)
    if common % relation_heads:
        possible = [n for n in range(1, common + 1) if common % n == 0]
        raise InvalidInput(
            f"{relation_heads} relation heads do not divide every attention width "
            f"{sorted(widths)}; possible are {possible}."
        )


def teacher_target(
    teacher: ElasticEncoder, architecture: Architecture, batch: Batch, settings: TrainingSettings
) -> Target:
    """Run the teacher once and prepare its relations and similarities."""
    mask = batch.attention_mask
    with torch.no_grad(), _autocast(settings, mask.device):
        output = teacher(batch.input_ids, mask, architecture)
        scores = relation_scores(output, mask, settings.relation_heads)
        similarity = similarity_log_probabilities(output.hidden, mask, settings.temperature)
        return Target(relation_target(scores, mask), similarity)


def student_losses(
    superlm: ElasticEncoder,
    architecture: Architecture,
    batch: Batch,
    target: Target,
    settings: TrainingSettings,
) -> tuple[Tensor, Tensor]:
    """Relation and similarity loss of one student; two scalars."""
    mask = batch.attention_mask
    with _autocast(settings, mask.device):
        output = superlm(batch.input_ids, mask, architecture)
        scores = relation_scores(output, mask, settings.relation_heads)
        relation = relation_loss(scores, target.relations, mask, settings.relation_loss)
        student = similarity_log_probabilities(output.hidden, mask, settings.temperature)
        return relation, similarity_loss(student, target.similarity)


def _autocast(settings: TrainingSettings, device: torch.device) -> AbstractContextManager[object]:
    enabled = settings.precision == "bf16"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


class Trainer:
    """One training run in one folder.

    Args:
        teacher: The teacher.
        space: The sub-space.
        start: Where the SuperLM starts, from `autodistil.importance.cut_superlm`.
        text: Text to train on.
        settings: The run's settings.
        folder: Holds the checkpoint and the loss curve; an unfinished run in it is resumed.
        device: Where to train, for example `cpu` or `cuda`.

    Raises:
        InvalidInput: The settings do not fit the teacher or the sub-space.
        CheckpointMismatch: The folder holds a run with other settings, teacher, sub-space, or
            text.
    """

    def __init__(
        self,
        teacher: Teacher,
        space: SubSpace,
        start: Start,
        text: TokenizedText,
        settings: TrainingSettings,
        folder: Path,
        device: str = "cpu",
    ) -> None:
        check_relation_heads(settings.relation_heads, teacher.architecture, space)
        if max(settings.lengths) > teacher.encoder.max_position_embeddings:
            raise InvalidInput(
                f"Rows of {max(settings.lengths)} tokens are longer than the teacher's "
                f"{teacher.encoder.max_position_embeddings} positions; set shorter lengths."
            )
        self.settings, self.space, self._text, self._folder = settings, space, text, folder
        self._device = torch.device(device)
        self._teacher_architecture = teacher.architecture
        self._teacher = teacher_encoder(teacher).to(self._device)
        tensors = {name: tensor.clone() for name, tensor in start.tensors.items()}
        self.superlm = ElasticEncoder(tensors, teacher.encoder, start.kept_layers)
        self.superlm.to(self._device)
        self._optimizer = self._build_optimizer()
        self.step, self.tokens_seen = 0, 0
        self._identity = _identity(settings, space, teacher, text)
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / CHECKPOINT).is_file():
            self._resume()

    def run(
        self,
        checkpoint_seconds: float = 120.0,
        on_step: Callable[[StepReport], None] = lambda report: None,
    ) -> None:
        """Train until the settings' tokens are seen; save checkpoints on the way and at the end.

        Args:
            checkpoint_seconds: Time between two checkpoints.
            on_step: Called after every step, for progress.
        """
        saved = time.monotonic()
        losses = self._folder / LOSSES
        _truncate_losses(losses, self.step)
        with losses.open("a") as file:
            for report in self._steps():
                file.write(json.dumps(_loss_row(report)) + "\n")
                on_step(report)
                if time.monotonic() - saved > checkpoint_seconds:
                    file.flush()
                    self.save()
                    saved = time.monotonic()
        self.save()

    def _steps(self) -> Iterator[StepReport]:
        while self.tokens_seen < self.settings.tokens:
            yield self._train_step()

    def _train_step(self) -> StepReport:
        batch, students = self._draw(self.step)
        rate = self._set_learning_rate()
        target = teacher_target(self._teacher, self._teacher_architecture, batch, self.settings)
        losses = []
        for student in students:
            relation, similarity = student_losses(
                self.superlm, student, batch, target, self.settings
            )
            torch.autograd.backward(relation + self.settings.similarity_weight * similarity)
            losses.append(StudentLoss(student, relation.item(), similarity.item()))
        torch.nn.utils.clip_grad_norm_(self.superlm.parameters(), self.settings.clip)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=False)
        self.step += 1
        self.tokens_seen += batch.tokens
        return StepReport(self.step, self.tokens_seen, rate, losses)

    def _draw(self, step: int) -> tuple[Batch, list[Architecture]]:
        """Batch and students of a step; the same whenever it is asked for."""
        settings = self.settings
        rng = np.random.default_rng([settings.seed, step])
        weights = np.array(settings.length_weights) / sum(settings.length_weights)
        length = int(rng.choice(settings.lengths, p=weights))
        batch = self._text.batch(rng, max(2, settings.batch_tokens // length), length)
        batch = Batch(batch.input_ids.to(self._device), batch.attention_mask.to(self._device))
        choice = random.Random(int(rng.integers(1 << 62)))
        drawn = [self.space.sample(choice) for _ in range(settings.random_students)]
        return batch, [self.space.largest, self.space.smallest, *drawn]

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
        for name, parameter in self.superlm.tensors().items():
            parameter.data.copy_(saved[f"weights/{name}"])
            state = {
                moment: saved[f"{moment}/{name}"]
                for moment in ("exp_avg", "exp_avg_sq", "step")
                if f"{moment}/{name}" in saved
            }
            if state:
                self._optimizer.state[parameter] = state


def _identity(
    settings: TrainingSettings, space: SubSpace, teacher: Teacher, text: TokenizedText
) -> str:
    """What must be the same for a run to be resumed; of the text, how much there is of it."""
    parts = (settings.model_dump_json(), space.model_dump_json(), teacher.sha256)
    return hashlib.sha256(f"{parts} {len(text)} {text.tokens}".encode()).hexdigest()


def _loss_row(report: StepReport) -> dict[str, object]:
    return {
        "step": report.step,
        "tokens": report.tokens,
        "learning_rate": report.learning_rate,
        "students": [
            {
                "name": loss.architecture.name,
                "relation": loss.relation,
                "similarity": loss.similarity,
            }
            for loss in report.losses
        ],
    }


def _truncate_losses(path: Path, step: int) -> None:
    """Drop rows that a killed run wrote after its last checkpoint."""
    if not path.is_file():
        return
    kept = path.read_text().splitlines()[:step]
    path.write_text("".join(line + "\n" for line in kept))
