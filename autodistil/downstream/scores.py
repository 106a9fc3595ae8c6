"""The file of scores that an evaluation writes and goes on from, and what it says over seeds."""

import json
import statistics
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autodistil.errors import InvalidInput, explain
from autodistil.files import replacing

PROBE = "probe-"
"""Begins the name of a probe, a linear classifier on frozen vectors."""


class Role(StrEnum):
    """What a model is in a comparison."""

    REFERENCE = "reference"
    STUDENT = "student"
    BASELINE = "baseline"


class ScoredModel(BaseModel):
    """A model of a comparison.

    Attributes:
        name: What it is called.
        role: What it is.
        sha256: Hash of its files.
        macs: Exact MACs of the encoder at 128 tokens; None where they are not known.
        params: Parameters; None where they are not known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    role: Role
    sha256: str
    macs: int | None
    params: int | None


class Score(BaseModel):
    """One model on one task with one seed.

    Attributes:
        model: Name of the model.
        sha256: Hash of the model's files.
        task: Name of the task.
        seed: The seed; None where nothing is random.
        settings: Everything else that decides the score, the hash of the data included.
        metric: Name of the metric.
        score: Its value.
        details: Curve, best epoch, and seconds of a fine-tuning.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    sha256: str
    task: str
    seed: int | None
    settings: dict[str, Any]
    metric: str
    score: Annotated[float, Field(allow_inf_nan=False)]
    details: dict[str, Any]


class ScoreFile:
    """Scores in a JSON file, which is whole at any time. One process may write it.

    Args:
        path: The file; None keeps the scores in memory alone.

    Raises:
        InvalidInput: The file holds something else.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.scores: list[Score] = []
        if path is None or not path.exists():
            return
        try:
            content = json.loads(path.read_text())
            self.scores = [Score.model_validate(row) for row in content["scores"]]
        except ValidationError as error:
            raise InvalidInput(f"{path} holds no scores: {explain(error)}.") from error
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise InvalidInput(
                f"{path} cannot be read as scores ({error!r}): name another file."
            ) from error

    def find(
        self, sha256: str, task: str, seed: int | None, settings: dict[str, Any]
    ) -> Score | None:
        """The score of that model, task, seed, and settings, if it is there."""
        key = (sha256, task, seed, settings)
        return next((s for s in self.scores if (s.sha256, s.task, s.seed, s.settings) == key), None)

    def add(self, score: Score) -> None:
        """Append a score and write the file."""
        self.scores.append(score)
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        rows = [score.model_dump(mode="json") for score in self.scores]
        with replacing(self._path) as partial:
            partial.write_text(json.dumps({"scores": rows}, indent=1) + "\n")


class Summary(BaseModel):
    """A score over seeds.

    Attributes:
        mean: Their mean.
        std: Their sample standard deviation; None of a single one.
        seeds: How many.
    """

    mean: float
    std: float | None
    seeds: int

    @classmethod
    def of(cls, values: Iterable[float]) -> "Summary":
        """Mean and standard deviation of values, of which there is at least one."""
        known = list(values)
        std = statistics.stdev(known) if len(known) > 1 else None
        return cls(mean=statistics.fmean(known), std=std, seeds=len(known))


class ModelScores(BaseModel):
    """A model and its scores.

    Attributes:
        model: The model.
        tasks: A summary per task.
        probes: Mean accuracy of the probes; None without one.
        average: Mean over the fine-tuned tasks; None without one.
    """

    model: ScoredModel
    tasks: dict[str, Summary]
    probes: float | None
    average: float | None

    def value(self, name: str) -> float | None:
        """The score of a task, or of `probes` or `average`; None where there is none."""
        if name in ("probes", "average"):
            mean: float | None = getattr(self, name)
            return mean
        return self.tasks[name].mean if name in self.tasks else None


def summarize(model: ScoredModel, scores: Iterable[Score]) -> ModelScores:
    """The scores of a model, task by task in the order they come in."""
    values: dict[str, list[float]] = {}
    tuned = {}
    for score in scores:
        values.setdefault(score.task, []).append(score.score)
        tuned[score.task] = score.seed is not None
    tasks = {task: Summary.of(found) for task, found in values.items()}
    probes = [summary.mean for task, summary in tasks.items() if task.startswith(PROBE)]
    means = [summary.mean for task, summary in tasks.items() if tuned[task]]
    return ModelScores(
        model=model,
        tasks=tasks,
        probes=statistics.fmean(probes) if probes else None,
        average=statistics.fmean(means) if means else None,
    )
