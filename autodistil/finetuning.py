"""Fine-tuning of any BERT-like folder on a task, scored on the task's development set.

A plain loop rather than `transformers.Trainer`: the runs are thousands of steps of milliseconds,
the best epoch is looked for in scores alone, and no checkpoint of it is ever wanted.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from autodistil.elastic import mean_pool
from autodistil.errors import TrainingDiverged
from autodistil.metrics import METRICS, Values
from autodistil.model_folder import LoadedModel, load_folder
from autodistil.task_data import Examples
from autodistil.tasks import Task

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


class Classifier(nn.Module):
    """An encoder with dropout and a linear head on its sentence vector.

    Args:
        loaded: The encoder. Sentence embedders average their tokens; others use [CLS], through
            the pooler where there is one.
        outputs: Classes, or 1 for regression.
        dropout: Probability of every dropout.
    """

    def __init__(self, loaded: LoadedModel, outputs: int, dropout: float) -> None:
        super().__init__()
        self._model: Any = loaded.model
        self._mean_pooled = loaded.mean_pooled
        self._dropout = nn.Dropout(dropout)
        self._head = nn.Linear(loaded.model.config.hidden_size, outputs)
        nn.init.normal_(self._head.weight, std=0.02)
        nn.init.zeros_(self._head.bias)
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.p = dropout

    def forward(self, precision: str, **inputs: Tensor) -> Tensor:
        """Logits or values in fp32, [batch, outputs].

        Args:
            precision: `fp32` or `bf16`.
            **inputs: What the tokenizer gives, [batch, tokens] each.
        """
        device = inputs["input_ids"].device.type
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            output = self._model(**inputs)
        if self._mean_pooled:
            pooled = mean_pool(output.last_hidden_state, inputs["attention_mask"])
        elif (pooled := output.get("pooler_output")) is None:
            pooled = output.last_hidden_state[:, 0]
        logits: Tensor = self._head(self._dropout(pooled.float()))
        return logits


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
        limit = min(recipe.max_length, loaded.model.config.max_position_embeddings)
        started = time.monotonic()
        rng = np.random.default_rng(seed)
        if recipe.max_examples is not None and recipe.max_examples < len(train):
            train = train.take(sorted(rng.permutation(len(train))[: recipe.max_examples].tolist()))
        rows = _Rows(loaded.tokenizer, train, limit, device)
        dev_rows = _Rows(loaded.tokenizer, dev, limit, device)
        model = Classifier(loaded, len(task.labels) or 1, recipe.dropout).to(device)
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
        device: torch.device,
    ) -> None:
        texts = [examples.first] if examples.second is None else [examples.first, examples.second]
        encoded = tokenizer(*texts, truncation=True, max_length=max_length)
        self._columns = {
            name: [torch.tensor(ids, device=device) for ids in rows]
            for name, rows in encoded.items()
        }
        self._padding = {"input_ids": tokenizer.pad_token_id or 0}
        self.labels = torch.tensor(examples.labels, device=device)
        self.lengths = np.array([len(ids) for ids in encoded["input_ids"]])

    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """The rows of these indices, padded to the longest."""
        return {
            name: pad_sequence(
                [rows[i] for i in indices],
                batch_first=True,
                padding_value=self._padding.get(name, 0),
            )
            for name, rows in self._columns.items()
        }

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
            logits = model(recipe.precision, **rows.batch(indices))
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
        logits = model(recipe.precision, **rows.batch(indices.tolist()))
        values = logits[:, 0] if task.regression else logits.argmax(1)
        predicted[indices] = values.double().cpu().numpy()
    return predicted
