"""One score of one model: fine-tuned on a task, or STS-B without fine-tuning."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from autodistil.downstream.finetuning import Recipe, finetune
from autodistil.downstream.scores import Score, ScoredModel
from autodistil.downstream.task_data import Examples, read_examples
from autodistil.downstream.tasks import TASKS
from autodistil.downstream.zero_shot import MAX_LENGTH, folder_embedder, stsb_spearman
from autodistil.errors import InvalidInput

ZERO_SHOT = "stsb-zero-shot"
"""STS-B by the cosine of mean-pooled vectors, without fine-tuning."""


@dataclass(frozen=True)
class Assignment:
    """A task with its data and how models are scored on it.

    Attributes:
        name: Name of the task, or `ZERO_SHOT`.
        train: What models are fine-tuned on; None without fine-tuning.
        dev: What they are scored on.
        recipe: How they are fine-tuned.
        settings: All of that as JSON, with hashes for the data: equal settings, equal scores.
    """

    name: str
    train: Examples | None
    dev: Examples
    recipe: Recipe
    settings: dict[str, Any]

    @classmethod
    def read(cls, name: str, data: str | Path, recipe: Recipe) -> "Assignment":
        """Read the data of a task.

        Args:
            name: Name of the task, or `ZERO_SHOT`.
            data: Where its data is, see `autodistil.downstream.task_data.read_examples`.
            recipe: How models are fine-tuned; not used by `ZERO_SHOT`.

        Raises:
            InvalidInput: There is no such task, or no usable data of it.
        """
        if name == ZERO_SHOT:
            dev = read_examples(data, TASKS["stsb"])
            settings = {"max_length": MAX_LENGTH, "dev": _fingerprint(dev)}
            return cls(name, None, dev, recipe, settings)
        if name not in TASKS:
            known = ", ".join((ZERO_SHOT, *TASKS))
            raise InvalidInput(f"{name!r} is no task; the tasks are {known}.")
        train, dev = (read_examples(data, TASKS[name], split) for split in ("train", "dev"))
        data_hashes = {"train": _fingerprint(train), "dev": _fingerprint(dev)}
        # How pairs are encoded decides nothing where there are none.
        unused = set() if train.second else {"pair_encoder"}
        settings = recipe.model_dump(mode="json", exclude=unused) | data_hashes
        return cls(name, train, dev, recipe, settings)

    def score(
        self,
        model: ScoredModel,
        folder: Path,
        seed: int | None,
        on_step: Callable[[int, int], None] = lambda step, steps: None,
    ) -> Score:
        """Score a model.

        Args:
            model: The model.
            folder: Where it is.
            seed: Of the fine-tuning; None without one.
            on_step: Called after every step with its number and the number of all steps.

        Raises:
            InvalidInput: There is no loadable model in the folder.
            TrainingDiverged: The loss is no number any more.
        """
        if self.train is None or seed is None:
            found = stsb_spearman(folder_embedder(folder), self.dev)
            metric, details = "spearman", {}
        else:
            task = TASKS[self.name]
            result = finetune(folder, task, self.train, self.dev, self.recipe, seed, on_step)
            found, metric = result.score, task.metrics[0]
            details = result.model_dump(mode="json", exclude={"score"})
        return Score(
            model=model.name,
            sha256=model.sha256,
            task=self.name,
            seed=seed,
            settings=self.settings,
            metric=metric,
            score=found,
            details=details,
        )


def _fingerprint(examples: Examples) -> str:
    return hashlib.sha256(json.dumps(asdict(examples)).encode()).hexdigest()[:16]
