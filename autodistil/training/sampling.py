"""What a training step sees: its batches and its students (paper, section 3.2).

Both are functions of the settings and the step's number, whenever they are asked for, so that a
resumed run sees what an unbroken one does.
"""

import random
from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from accelerate import Accelerator

from autodistil.families.architecture import Architecture
from autodistil.spaces.cost import exact_macs
from autodistil.spaces.sub_space import SubSpace
from autodistil.text.corpus import Batch, TokenizedText
from autodistil.text.passages import PassageBatches, Passages
from autodistil.training.settings import Extreme, TrainingSettings


class Task(NamedTuple):
    """A batch and the students that are trained on it.

    Attributes:
        passages: Indices of its passages, [rows].
        students: The students.
    """

    passages: npt.NDArray[np.int64]
    students: tuple[Architecture, ...]


class Sampler:
    """Draws the batches and students of every step.

    Args:
        settings: The settings.
        space: The sub-space.
        passages: The text to train on, divided.
        texts: The same text in the tokens of each vocabulary of the sub-space; None: the only one.
        accelerator: Says which of how many processes this is, and its device.

    Attributes:
        passages: The passages.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        space: SubSpace,
        passages: Passages,
        texts: Mapping[int | None, TokenizedText],
        accelerator: Accelerator,
    ) -> None:
        self._settings, self._space = settings, space
        self.passages, self._texts = passages, texts
        self._accelerator = accelerator
        self._batches = PassageBatches(
            passages, settings.batch_tokens, settings.neighbours, settings.seed
        )
        self._strata = _strata(space, settings) if settings.stratified else []

    def tasks(self, step: int, part: int = 0) -> list[Task]:
        """What this process trains in a step, or in one of its parts."""
        students = self.students(step)
        own = self._settings.batches == "own"
        count = len(students) if own else 1
        # Two processes read what one would read in two parts.
        processes = self._accelerator.num_processes
        parts = self._settings.accumulate * processes
        index = step * parts + part * processes + self._accelerator.process_index
        drawn = [self._batches.indices(index * count + number) for number in range(count)]
        if not own:
            return [Task(drawn[0], tuple(students))]
        return [Task(rows, (student,)) for rows, student in zip(drawn, students, strict=True)]

    def read(self, passages: npt.NDArray[np.int64], vocab: int | None) -> Batch:
        """Passages in the tokens of a vocabulary, on the device.

        Args:
            passages: Their indices, [rows].
            vocab: The vocabulary of the students that read them.
        """
        batch = self._texts[vocab].read(
            self.passages.first[passages],
            self.passages.end[passages],
            max(self._settings.lengths),
        )
        device = self._accelerator.device
        return Batch(batch.input_ids.to(device), batch.attention_mask.to(device))

    def students(self, step: int) -> list[Architecture]:
        """Students of a step, the extremes first; the same in all processes."""
        settings, space = self._settings, self._space
        extremes = {Extreme.LARGEST: space.largest, Extreme.SMALLEST: space.smallest}
        chosen = [extremes[extreme] for extreme in settings.extremes]
        rng = random.Random(f"{settings.seed} {step}")
        if self._strata:
            return [*chosen, *(rng.choice(stratum) for stratum in self._strata)]
        return [*chosen, *(space.sample(rng) for _ in range(settings.random_students))]


def _strata(space: SubSpace, settings: TrainingSettings) -> list[list[Architecture]]:
    """The students by MACs, in as many equal shares as random students are drawn."""
    ordered = sorted(space.students(), key=exact_macs)
    shares = min(settings.random_students, len(ordered))
    ends = [len(ordered) * share // shares for share in range(shares + 1)] if shares else [0]
    return [ordered[low:high] for low, high in pairwise(ends)]
