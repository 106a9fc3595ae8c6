"""Fine-tuning of any BERT-like folder on a task, scored on the task's development set.

A plain loop rather than `transformers.Trainer`: the runs are thousands of steps of milliseconds,
the best epoch is looked for in scores alone, and no checkpoint of it is ever wanted.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from autodistil.downstream.classifier import Classifier, Inputs
from autodistil.downstream.metrics import METRICS, Values
from autodistil.downstream.task_data import Examples
from autodistil.downstream.tasks import Task
from autodistil.errors import TrainingDiverged
from autodistil.families.registry import longest_text
from autodistil.models.model_folder import load_folder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_GROUP = 50
"""Batches whose examples are sorted by length together."""


class Recipe(BaseModel):
    """How every model is fine-tuned. Rates, rows, and epochs of the defaults are the paper's.

    Attributes:
        learning_rate: Peak rate of AdamW; it falls linearly to 0 over all epochs.
        batch_size: Examples per step.
        epochs: Most epochs.
        patience: Epochs without a better score after which a run stops; None: never.
        warmup: Share of the steps over which the rate rises from 0.
        weight_decay: Of matrices; biases and LayerNorms have none.
        clip: Largest norm of the gradient.
        dropout: Probability of every dropout in the encoder, and of the one before the head.
        max_length: Tokens of an example; the rest is cut off.
        max_examples: Most training examples, drawn by the seed; None: all.
        pair_encoder: Of tasks with two sentences: `cross` encodes them as one sequence, as BERT
            does and the paper; `bi` encodes each by itself and compares the two vectors, as
            sentence embedders do.
        precision: `bf16` runs the encoder in bfloat16 autocast; weights and head stay fp32.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 2e-5
    batch_size: Annotated[int, Field(ge=1)] = 32
    epochs: Annotated[int, Field(ge=1)] = 20
    patience: Annotated[int, Field(ge=1)] | None = None
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.01
    clip: Annotated[float, Field(gt=0)] = 1.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    max_length: Annotated[int, Field(ge=8)] = 128
    max_examples: Annotated[int, Field(ge=2)] | None = None
    pair_encoder: Literal["cross", "bi"] = "cross"
    precision: Literal["fp32", "bf16"] = "fp32"


class EpochScores(BaseModel):
    """What one epoch reached.

    Attributes:
        loss: Mean training loss of the epoch.
        metrics: The task's metrics on the development set.
    """

    loss: float
    metrics: dict[str, float]


class FinetuningResult(BaseModel):
    """One fine-tuning.

    Attributes:
        score: The task's first metric at its best epoch.
        best_epoch: The first epoch that reached it, counted from 1.
        seconds: Time of the run, loading left out.
        curve: Every epoch that was run.
    """

    score: float
    best_epoch: int
    seconds: float
    curve: tuple[EpochScores, ...]


def finetune(
    folder: Path,
    task: Task,
    train: Examples,
    dev: Examples,
    recipe: Recipe,
    seed: int,
    on_step: Callable[[int, int], None] = lambda step, steps: None,
) -> FinetuningResult:
    """Fine-tune the model of a folder, which stays as it is; on a GPU, if there is one.

    Args:
        folder: A folder that `transformers` loads.
        task: The task.
        train: What is trained on.
        dev: What is scored on after every epoch.
        recipe: The recipe.
        seed: Of the head, the order of examples, their choice, and dropout.
        on_step: Called after every step with its number and the number of all steps.

    Raises:
        InvalidInput: There is no loadable model in the folder.
        TrainingDiverged: The loss or a prediction is no number any more.
    """
    # The caller's random numbers stay as they are.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        loaded = load_folder(folder)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if device.type == "cpu":
            # PyTorch's fused attention for CPUs is slow to go backward, see elastic.py.
            loaded.model.set_attn_implementation("eager")
        longest = longest_text(loaded.model.config.to_dict())
        limit = min(recipe.max_length, longest or recipe.max_length)
        started = time.monotonic()
        rng = np.random.default_rng(seed)
        if recipe.max_examples is not None and recipe.max_examples < len(train):
            train = train.take(sorted(rng.permutation(len(train))[: recipe.max_examples].tolist()))
        apart = recipe.pair_encoder == "bi" and len(task.texts) > 1
        rows = _Rows(loaded.tokenizer, train, limit, apart, device)
        dev_rows = _Rows(loaded.tokenizer, dev, limit, apart, device)
        model = Classifier(loaded, len(task.labels) or 1, recipe.dropout, apart).to(device)
        curve = []
        for epoch in _epochs(model, rows, task, recipe, rng, on_step):
            predicted = _predict(model, dev_rows, task, recipe)
            if not np.isfinite(predicted).all():
                raise TrainingDiverged(f"{folder} on {task.name}: {_ADVICE}")
            labels = np.array(dev.labels)
            metrics = {name: METRICS[name](predicted, labels) for name in task.metrics}
            curve.append(EpochScores(loss=epoch, metrics=metrics))
            scores = [entry.metrics[task.metrics[0]] for entry in curve]
            best = scores.index(max(scores))
            if recipe.patience is not None and len(curve) - 1 - best >= recipe.patience:
                break
    return FinetuningResult(
        score=scores[best],
        best_epoch=best + 1,
        seconds=time.monotonic() - started,
        curve=tuple(curve),
    )


_ADVICE = "the loss is no number any more. Lower the learning rate, or use precision fp32."


class _Rows:
    """Tokenized examples, from which batches are padded."""

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        examples: Examples,
        max_length: int,
        apart: bool,
        device: torch.device,
    ) -> None:
        texts = [examples.first] if examples.second is None else [examples.first, examples.second]
        sequences = [
            tokenizer(*together, truncation=True, max_length=max_length)
            for together in ([[text] for text in texts] if apart else [texts])
        ]
        self._sequences = [
            {
                name: [torch.tensor(ids, device=device) for ids in rows]
                for name, rows in encoded.items()
            }
            for encoded in sequences
        ]
        self._padding = {"input_ids": tokenizer.pad_token_id or 0}
        self.labels = torch.tensor(examples.labels, device=device)
        lengths = [[len(ids) for ids in encoded["input_ids"]] for encoded in sequences]
        self.lengths = np.array(lengths).sum(axis=0)

    def batch(self, indices: Sequence[int]) -> list[Inputs]:
        """The rows of these indices, padded to the longest: one input, or one a sentence."""
        return [
            {
                name: pad_sequence(
                    [rows[i] for i in indices],
                    batch_first=True,
                    padding_value=self._padding.get(name, 0),
                )
                for name, rows in columns.items()
            }
            for columns in self._sequences
        ]

    def batches(self, rng: np.random.Generator, size: int) -> list[list[int]]:
        """All indices in random batches of rows of like lengths."""
        order = rng.permutation(len(self.lengths))
        batches: list[list[int]] = []
        for start in range(0, len(order), size * _GROUP):
            group = order[start : start + size * _GROUP]
            group = group[np.argsort(self.lengths[group], kind="stable")]
            batches += [group[i : i + size].tolist() for i in range(0, len(group), size)]
        return [batches[i] for i in rng.permutation(len(batches))]


def _epochs(
    model: Classifier,
    rows: _Rows,
    task: Task,
    recipe: Recipe,
    rng: np.random.Generator,
    on_step: Callable[[int, int], None],
) -> Iterator[float]:
    """Train; yields the mean loss of every epoch at its end."""
    steps = recipe.epochs * math.ceil(len(rows.labels) / recipe.batch_size)
    warmup = max(1, round(recipe.warmup * steps))
    optimizer = _optimizer(model, recipe)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, (steps - step) / max(1, steps - warmup))
    )
    step = 0
    for _ in range(recipe.epochs):
        model.train()
        losses = []
        for indices in rows.batches(rng, recipe.batch_size):
            logits = model(recipe.precision, *rows.batch(indices))
            labels = rows.labels[indices]
            loss = (
                F.mse_loss(logits[:, 0], labels)
                if task.regression
                else F.cross_entropy(logits, labels.long())
            )
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=False)
            losses.append(loss.item())
            step += 1
            if not math.isfinite(losses[-1]):
                raise TrainingDiverged(f"{task.name}, step {step}: {_ADVICE}")
            on_step(step, steps)
        yield sum(losses) / len(losses)


def _optimizer(model: Classifier, recipe: Recipe) -> torch.optim.AdamW:
    parameters = [p for p in model.parameters() if p.requires_grad]
    return torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=recipe.learning_rate,
        fused=True,
    )


@torch.inference_mode()
def _predict(model: Classifier, rows: _Rows, task: Task, recipe: Recipe) -> Values:
    """Class indices, or numbers, [examples]."""
    model.eval()
    order = np.argsort(rows.lengths, kind="stable")
    predicted = np.empty(len(order))
    for start in range(0, len(order), 2 * recipe.batch_size):
        indices = order[start : start + 2 * recipe.batch_size]
        logits = model(recipe.precision, *rows.batch(indices.tolist()))
        values = logits[:, 0] if task.regression else logits.argmax(1)
        predicted[indices] = values.double().cpu().numpy()
    return predicted
