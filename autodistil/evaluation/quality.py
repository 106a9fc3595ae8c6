"""One number for how good a student is: about which share of its teacher's score it will keep.

A held-out loss depends on how many heads and channels are compared, so the same loss means another
quality in another SuperLM. The agreement with the teacher on which sentences are alike is a
correlation: of the same pairs, with the same teacher, it can be compared between any two students,
and sees when a SuperLM is worse than its size. What fine-tuning makes of a student depends on its
size as well. The estimate joins the two; `benchmarks/calibration.py` fits it.
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


OFFSET, PER_AGREEMENT, PER_SIZE = 0.847, 0.806, 0.593
"""Least squares over 40 students of five SuperLMs of all-MiniLM-L6-v2 (decision 16)."""

_CERTAIN = 1 - 1e-9


def estimate_quality(signals: Signals, cost: Cost) -> float:
    """The estimate of a student's quality; more is better.

    It is calibrated as the share of the teacher's score that the student keeps, mean over SST-2 and
    STS-B fine-tuned and STS-B without fine-tuning: 1 is as good as the teacher, and a student that
    agrees with nothing may be below 0. For students of another teacher only its order counts.

    Args:
        signals: What held-out text says of the student.
        cost: What the student costs.
    """
    agreement = math.atanh(max(-_CERTAIN, min(signals.neighbour_agreement, _CERTAIN)))
    size = math.log(cost.params / 1e6)
    return 1 - math.exp(-(OFFSET + PER_AGREEMENT * agreement + PER_SIZE * size))
