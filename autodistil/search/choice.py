"""Search without re-training (paper, section 3.3): limits and candidates in, a student out."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autodistil.errors import InvalidInput
from autodistil.evaluation.quality import Score
from autodistil.search.budget import Budget
from autodistil.search.entry import Entry
from autodistil.search.latency_limit import Profiles, predict_latency
from autodistil.search.refusal import Limits


class Choice(NamedTuple):
    """The answer of a search.

    Attributes:
        best: The best student within the limits.
        limits: The limits in absolute numbers; latency in ms.
        feasible: How many candidates are within the limits.
        considered: How many there were.
        cheaper: The best student with fewer MACs, if there is one.
        better: The student with the fewest MACs among those with a better score, if there is one.
        score: What the best one has most of.
    """

    best: Entry
    limits: dict[str, int | float]
    feasible: int
    considered: int
    cheaper: Entry | None
    better: Entry | None
    score: Score

    @property
    def warnings(self) -> list[str]:
        """What to know of the answer before it is relied on, as sentences."""
        if not self.best.latency_extrapolated:
            return []
        name = f"{self.best.candidate.architecture.name} of {self.best.superlm}"
        return [
            f"The {self.best.latency_ms:g} ms predicted for {name} are extrapolated: it is smaller "
            "or larger than every student that the device was profiled with. Profile the device "
            "anew with this SuperLM registered, or measure the student before you rely on it."
        ]

    def report(self) -> dict[str, Any]:
        """The answer as JSON values: what the CLI prints and the API sends."""
        return {
            "choice": self.best.row(),
            "limits": self.limits,
            "feasible": self.feasible,
            "considered": self.considered,
            "score": self.score.value,
            "neighbours": {
                "cheaper": self.cheaper.row() if self.cheaper else None,
                "better": self.better.row() if self.better else None,
            },
            "warnings": self.warnings,
        }


def search(
    entries: Sequence[Entry],
    budget: Budget,
    profiles: Profiles | None = None,
    score: Score = Score.QUALITY,
) -> Choice:
    """The best student within a budget, over the candidates of one or several SuperLMs.

    Args:
        entries: The candidates.
        budget: The limits, all of which must hold.
        profiles: The profiled devices, by which latencies are predicted.
        score: What the best one has most of; among equals the cheaper one is better.

    Raises:
        InfeasibleBudget: Names the binding limit, its least possible value, the nearest student.
        UnknownDevice: The budget limits latency on a device without a profile.
        UnprofiledConditions: It limits latency under conditions that the profile does not hold.
        InvalidInput: There are no candidates, or some have no such score.
    """
    entries = with_latency(entries, budget, profiles)
    scores = scores_of(entries, score)
    macs = np.array([entry.candidate.macs for entry in entries])
    order = _order(entries, scores, macs)
    limits = Limits.of(entries, budget)
    feasible = limits.within()
    if not feasible.any():
        raise limits.refusal(order)
    best = int(order[feasible[order]][0])
    cheaper = order[macs[order] < macs[best]]
    better = order[scores[order] > scores[best]]
    return Choice(
        best=entries[best],
        limits=dict(limits.limits[best]),
        feasible=int(feasible.sum()),
        considered=len(entries),
        cheaper=entries[cheaper[0]] if len(cheaper) else None,
        better=entries[better[np.argmin(macs[better])]] if len(better) else None,
        score=score,
    )


def rank_feasible(
    entries: Sequence[Entry],
    budget: Budget,
    profiles: Profiles | None = None,
    score: Score = Score.QUALITY,
) -> list[Entry]:
    """The students within a budget, the best one first.

    Arguments as of `search`.

    Raises:
        InfeasibleBudget: There are none; further errors as of `search`.
    """
    entries = with_latency(entries, budget, profiles)
    macs = np.array([entry.candidate.macs for entry in entries])
    order = _order(entries, scores_of(entries, score), macs)
    limits = Limits.of(entries, budget)
    feasible = limits.within()
    if not feasible.any():
        raise limits.refusal(order)
    return [entries[i] for i in order[feasible[order]]]


def with_latency(
    entries: Sequence[Entry], budget: Budget, profiles: Profiles | None
) -> Sequence[Entry]:
    """The same candidates with their predicted latency, if the budget limits it.

    Raises:
        UnknownDevice: The budget limits latency on a device without a profile.
        UnprofiledConditions: It limits latency under conditions that the profile does not hold.
        InvalidInput: There are no candidates.
    """
    if not entries:
        raise InvalidInput("There are no candidates to search: no SuperLM was given.")
    if budget.latency is None:
        return entries
    found = predict_latency([e.candidate for e in entries], budget.latency, profiles or {})
    return [
        entry._replace(latency_ms=prediction.ms, latency_extrapolated=prediction.extrapolated)
        for entry, prediction in zip(entries, found, strict=True)
    ]


def scores_of(entries: Sequence[Entry], score: Score) -> NDArray[np.float64]:
    """What a search maximises, [entries].

    Raises:
        InvalidInput: A table does not say so.
    """
    scores = [entry.candidate.score(score) for entry in entries]
    missing = sorted({e.superlm for e, found in zip(entries, scores, strict=True) if found is None})
    if missing:
        raise InvalidInput(
            f"The candidates of {', '.join(missing)} have no {score.value}: the table was made by "
            "an older version, or not evaluated. Score it anew with 'autodistil rescore', or "
            "search by another score (loss or params)."
        )
    return np.array(scores, np.float64)


def _order(
    entries: Sequence[Entry], scores: NDArray[np.float64], macs: NDArray[np.int64]
) -> NDArray[np.intp]:
    """Indices, the best score first; among equals the cheapest, then the first."""
    params = np.array([entry.candidate.params for entry in entries])
    return np.lexsort((params, macs, -scores))
