"""One number for how good a student is: about which share of its teacher's score it will keep.

The agreement with the teacher on which sentences are alike is a correlation: of the same pairs,
with the same teacher, it can be compared between any two students. For students of a sentence
embedder it is all that the estimate needs; for others, what fine-tuning makes of them depends on
their size as well. `benchmarks/quality.py` fits the first kind.
"""

import math
from enum import StrEnum

from autodistil.evaluation.signals import Signals
from autodistil.spaces.cost import Cost


class Score(StrEnum):
    """What a search maximises.

    `quality`: the estimate of this module. `loss`: the negative of how far the student
    is from what it was trained to match, see `Signals.loss`. `params`: the number of parameters.
    """

    QUALITY = "quality"
    LOSS = "loss"
    PARAMS = "params"


OFFSET, PER_AGREEMENT = -0.229, 3.448
"""Least squares over 17 students of the shipped SuperLMs of all-MiniLM-L6-v2 (decision 31)."""

TOKEN_OFFSET, TOKEN_PER_AGREEMENT, PER_SIZE = 0.847, 0.806, 0.593
"""The same for students that learnt relations between tokens (decision 16)."""

_CERTAIN = 1 - 1e-9


def estimate_quality(signals: Signals, cost: Cost) -> float:
    """The estimate of a student's quality; more is better.

    It is calibrated as the share of the teacher's score that the student keeps. Of a sentence
    embedder's student: mean of STS-B without fine-tuning and of linear probes on frozen vectors; of
    any other: mean over SST-2 and STS-B fine-tuned and STS-B without fine-tuning. 1 is as good as
    the teacher, and a student that agrees with nothing may be below 0. For students of another
    teacher only its order counts.

    Args:
        signals: What held-out text says of the student.
        cost: What the student costs.
    """
    agreement = math.atanh(max(-_CERTAIN, min(signals.neighbour_agreement, _CERTAIN)))
    if signals.vector_distance is not None:
        return 1 - math.exp(-(OFFSET + PER_AGREEMENT * agreement))
    size = math.log(cost.params / 1e6)
    return 1 - math.exp(-(TOKEN_OFFSET + TOKEN_PER_AGREEMENT * agreement + PER_SIZE * size))
