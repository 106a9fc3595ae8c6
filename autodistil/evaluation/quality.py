"""One number for how good a student is, on the same scale in every SuperLM of a teacher.

A held-out loss depends on how many heads and channels are compared, so the same loss means another
quality in another SuperLM, and inside one it falls with size whatever the student is worth. The
agreement with the teacher on which sentences are alike is a correlation: of the same pairs, with
the same teacher, it can be compared between any two students.
"""

from enum import StrEnum

from autodistil.evaluation.signals import Signals
from autodistil.spaces.cost import Cost


class Score(StrEnum):
    """What a search maximises.

    `quality`: the estimate of this module. `loss`: the negative sum of relation and similarity
    loss, the objective of the training. `params`: the number of parameters.
    """

    QUALITY = "quality"
    LOSS = "loss"
    PARAMS = "params"


def estimate_quality(signals: Signals, cost: Cost) -> float:
    """The estimate of a student's quality; more is better.

    Args:
        signals: What held-out text says of the student.
        cost: What the student costs; the present estimate does not look at it.
    """
    return signals.neighbour_agreement
