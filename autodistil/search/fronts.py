"""Pareto fronts: the students than which none is both better and cheaper."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import numpy as np

from autodistil.errors import InvalidInput
from autodistil.evaluation.quality import Score
from autodistil.search.budget import LATENCY
from autodistil.search.choice import scores_of
from autodistil.search.entry import Entry


class CostAxis(StrEnum):
    """What a student costs, on the axis of a front. Latency is a device's prediction, in ms."""

    MACS = "macs"
    PARAMS = "params"
    BYTES = "bytes"
    LATENCY = "latency"

    @property
    def field(self) -> str:
        """The same as a limit of a budget is called."""
        return {"bytes": "size_bytes", "latency": LATENCY}.get(self.value, self.value)

    @property
    def label(self) -> str:
        """What the axis of a picture says."""
        return {
            "macs": "MACs at 128 tokens",
            "params": "parameters",
            "bytes": "bytes of the fp32 weights",
            "latency": "predicted latency, ms",
        }[self.value]

    @property
    def column(self) -> str:
        """The column of an entry's row."""
        return {"bytes": "size_bytes", "latency": "latency_ms"}.get(self.value, self.value)


def pareto_front(
    entries: Sequence[Entry], axis: CostAxis, score: Score = Score.QUALITY
) -> list[Entry]:
    """The students than which none is both cheaper and better, the cheapest first.

    Of students of equal cost and score the first one stands for all.

    Args:
        entries: Students of one or several SuperLMs.
        axis: The cost.
        score: What is better the more there is of it.

    Raises:
        InvalidInput: Some have no such score, or no predicted latency where that is asked for.
    """
    costs = np.array([entry.value(axis.field) for entry in entries])
    if not np.isfinite(costs).all():
        raise InvalidInput("A front over latency needs the profile of a device.")
    scores = scores_of(entries, score)
    front: list[Entry] = []
    best = -np.inf
    for index in np.lexsort((-scores, costs)):
        if scores[index] > best:
            best = scores[index]
            front.append(entries[index])
    return front


def fronts(
    entries: Sequence[Entry], axis: CostAxis, score: Score = Score.QUALITY
) -> dict[str, list[Entry]]:
    """The front of each SuperLM by its `name@version`, in order of their first students.

    Arguments and errors as of `pareto_front`.
    """
    names = dict.fromkeys(entry.superlm for entry in entries)
    return {
        name: pareto_front([e for e in entries if e.superlm == name], axis, score) for name in names
    }


def front_report(
    entries: Sequence[Entry], axis: CostAxis, score: Score = Score.QUALITY
) -> dict[str, Any]:
    """The front of each SuperLM and that over all, as JSON values.

    Arguments and errors as of `pareto_front`.
    """
    return {
        "x": axis.value,
        "y": score.value,
        "superlms": {
            name: [entry.row() for entry in front]
            for name, front in fronts(entries, axis, score).items()
        },
        "overall": [entry.row() for entry in pareto_front(entries, axis, score)],
    }
