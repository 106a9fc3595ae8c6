"""One score of one model on one task: by fine-tuning, or of its vectors as they are."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from autodistil.downstream.finetuning import Recipe, finetune
from autodistil.downstream.scores import Score, ScoredModel
from autodistil.downstream.task_data import Examples, read_examples
from autodistil.downstream.tasks import TASKS, MetricName

OnStep = Callable[[int, int], None]
"""Called after every step with its number and the number of all steps."""


class Measured(NamedTuple):
    """What a model reached.

    Attributes:
        metric: Name of the metric.
        score: Its value.
        details: Further values, as JSON.
    """

    metric: str
    score: float
    details: dict[str, Any]


class Assignment(ABC):
    """A task with its data and how models are scored on it.

    Args:
        name: Name of the task.
        settings: Everything that decides a score, as JSON, with hashes for the data: equal
            settings, equal scores.
        seeded: Whether a score depends on a seed.
    """

    def __init__(self, name: str, settings: dict[str, Any], *, seeded: bool) -> None:
        self.name = name
        self.settings = settings
        self.seeded = seeded

    def score(
        self,
        model: ScoredModel,
        folder: Path,
        seed: int | None,
        on_step: OnStep = lambda step, steps: None,
    ) -> Score:
        """Score a model.

        Args:
            model: The model.
            folder: Where it is.
            seed: Of the fine-tuning; None without one.
            on_step: See `OnStep`; without fine-tuning, of the texts that are embedded.

        Raises:
            InvalidInput: There is no usable model in the folder.
            TrainingDiverged: The loss is no number any more.
        """
        found = self._measure(model, folder, seed, on_step)
        return Score(
            model=model.name,
            sha256=model.sha256,
            task=self.name,
            seed=seed,
            settings=self.settings,
            metric=found.metric,
            score=found.score,
            details=found.details,
        )

    def applies(self, model: ScoredModel, folder: Path) -> bool:
        """Whether the model can be scored on the task at all."""
        return True

    @abstractmethod
    def _measure(
        self, model: ScoredModel, folder: Path, seed: int | None, on_step: OnStep
    ) -> Measured:
        """What the model reaches; raises as `score` does."""


@dataclass(frozen=True)
class Splits:
    """The two splits of a task.

    Attributes:
        train: What is learned from.
        dev: What is scored on.
    """

    train: Examples
    dev: Examples

    @classmethod
    def read(cls, name: str, data: str | Path) -> "Splits":
        """Read them, see `autodistil.downstream.task_data.read_examples`.

        Raises:
            InvalidInput: There is no usable data of the task.
        """
        return cls(*(read_examples(data, TASKS[name], split) for split in ("train", "dev")))

    def fingerprints(self) -> dict[str, str]:
        """Hashes of the two."""
        return {"train": fingerprint(self.train), "dev": fingerprint(self.dev)}


class Finetuning(Assignment):
    """A task that models are fine-tuned on.

    Args:
        name: Name of the task.
        splits: Its examples.
        recipe: How models are fine-tuned.
    """

    def __init__(self, name: str, splits: Splits, recipe: Recipe) -> None:
        # How pairs are encoded decides nothing where there are none.
        unused = set() if splits.train.second else {"pair_encoder"}
        settings = recipe.model_dump(mode="json", exclude=unused) | splits.fingerprints()
        super().__init__(name, settings, seeded=True)
        self._splits, self._recipe = splits, recipe

    def _measure(
        self, model: ScoredModel, folder: Path, seed: int | None, on_step: OnStep
    ) -> Measured:
        task, splits = TASKS[self.name], self._splits
        result = finetune(folder, task, splits.train, splits.dev, self._recipe, seed or 0, on_step)
        metric: MetricName = task.metrics[0]
        return Measured(metric, result.score, result.model_dump(mode="json", exclude={"score"}))


def fingerprint(examples: Examples) -> str:
    """A hash of examples."""
    return hashlib.sha256(json.dumps(asdict(examples)).encode()).hexdigest()[:16]
