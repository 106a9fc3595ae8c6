"""What a training step sees: its batches and its students (paper, section 3.2).

Both are functions of the settings and the step's number, whenever they are asked for, so that a
resumed run sees what an unbroken one does.
"""

import random
from itertools import pairwise

import numpy as np
from accelerate import Accelerator

from autodistil.spaces.architecture import Architecture, SubSpace
from autodistil.spaces.cost import exact_macs
from autodistil.text.corpus import Batch, TokenizedText
from autodistil.training.settings import Extreme, TrainingSettings


class Sampler:
    """Draws the batches and students of every step.

    Args:
        settings: The settings.
        space: The sub-space.
        text: Text to train on.
        accelerator: Says which of how many processes this is, and its device.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        space: SubSpace,
        text: TokenizedText,
        accelerator: Accelerator,
    ) -> None:
        self._settings, self._space, self._text = settings, space, text
        self._accelerator = accelerator
        self._strata = _strata(space, settings) if settings.stratified else []

    def batch(self, step: int, part: int = 0) -> Batch:
        """Batch of a step, of one of its parts, of this process."""
        settings, accelerator = self._settings, self._accelerator
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
        device = accelerator.device
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
