"""From a budget to a student that keeps it, also where only a measurement can tell."""

import contextlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from autodistil.errors import InfeasibleBudget, LatencyMissed
from autodistil.evaluation.quality import Score
from autodistil.extraction.handover import extract_student
from autodistil.extraction.receipt import LatencyReceipt, Miss, Receipt
from autodistil.latency.conditions import Conditions, LatencyLimit
from autodistil.latency.device_profile import DeviceProfile
from autodistil.latency.machine import Machine
from autodistil.latency.measurement import Effort, Latency, measure_in_turns, torch_threads
from autodistil.latency.predictor import Prediction
from autodistil.profiling.dense_students import folder_forward
from autodistil.search.budget import Budget
from autodistil.search.choice import Choice, search
from autodistil.search.entry import Entry
from autodistil.search.latency_limit import Profiles, predict_latency, profile_of
from autodistil.spaces.embedding import Vectors
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.entries import entries_of

TRIES = 5
"""So many students are measured at most before a latency limit is given up."""
EFFORT = Effort(rounds=10, runs=10, warm_up=3, seconds=15)
"""How long a chosen student is measured."""

Measure = Callable[[Path, Conditions], Latency]


def measure_folder(folder: Path, conditions: Conditions) -> Latency:
    """Measure the student in an exported folder on this machine.

    Raises:
        InvalidInput: It cannot be run under these conditions.
    """
    with torch_threads(conditions.threads):
        forward = folder_forward(folder, conditions)
        return measure_in_turns([lambda: forward], EFFORT)[0]


def extract_best(
    superlms: Mapping[str, SuperLM],
    budget: Budget,
    folder: Path,
    profiles: Profiles | None = None,
    measure: Measure | None = measure_folder,
    score: Score = Score.QUALITY,
    entries: Sequence[Entry] | None = None,
    vectors: Vectors = Vectors.TEACHER,
    on_choice: Callable[[Choice], None] = lambda choice: None,
    on_phase: Callable[[str], None] = lambda phase: None,
    on_miss: Callable[[Miss], None] = lambda miss: None,
) -> Receipt:
    """Extract the best student within a budget, and measure it if the budget limits latency.

    One that misses the limit is dropped, and the next in the search's order is taken, among those
    that would keep it on a device as much slower than its profile as it has just been.

    Args:
        superlms: By `name@version`.
        budget: The limits.
        folder: An empty or missing folder for the student.
        profiles: The profiled devices.
        measure: Measures an exported folder; None where the device is not at hand.
        score: What the best student has most of.
        entries: The candidates to choose among; all of the SuperLMs by default.
        vectors: Where the student puts its sentence vectors.
        on_choice: Called with every choice before it is extracted; may raise to stop.
        on_phase: Called with the name of each phase of an extraction; may raise to stop.
        on_miss: Called with every student that missed the limit; may raise to stop.

    Raises:
        InfeasibleBudget: No student fits, as far as is predicted.
        LatencyMissed: Of those measured none kept the limit.
        UnknownDevice: The latency limit names no profiled device.
        UnprofiledConditions: The device was not profiled under the limit's conditions.
    """
    candidates = entries_of(superlms.values()) if entries is None else entries

    def extract(choice: Choice) -> Receipt:
        on_choice(choice)
        superlm, candidate = superlms[choice.best.superlm], choice.best.candidate
        return extract_student(superlm, candidate, folder, budget, choice.limits, vectors, on_phase)

    choice = search(candidates, budget, profiles, score)
    if budget.latency is None or budget.latency.device is None or profiles is None:
        return extract(choice)
    kept = _Limit(budget.latency, budget.latency.device, profiles)
    misses: list[Miss] = []
    while True:
        receipt = extract(choice)
        measured = measure(folder, kept.conditions) if measure else None
        if measured is None or kept.holds(measured):
            return receipt.model_copy(
                update={"latency": kept.receipt(choice.best, measured, misses)}
            )
        misses.append(kept.miss(choice.best, measured))
        on_miss(misses[-1])
        shutil.rmtree(folder)
        choice = _next_choice(candidates, budget, kept, misses, score)


class _Limit:
    """A latency limit on a device whose profile is at hand."""

    def __init__(self, limit: LatencyLimit, device: str, profiles: Profiles) -> None:
        self.limit, self.device, self.profiles = limit, device, profiles
        self.conditions = profile_of(limit, profiles).conditions

    def holds(self, measured: Latency) -> bool:
        return measured.percentile(self.limit.percentile) <= self.limit.ms

    def predict(self, entry: Entry) -> Prediction:
        return predict_latency([entry.candidate], self.limit, self.profiles)[0]

    def miss(self, entry: Entry, measured: Latency) -> Miss:
        return Miss(
            superlm=entry.superlm,
            architecture=entry.candidate.architecture,
            predicted_ms=self.predict(entry).ms,
            measured=measured,
        )

    def receipt(
        self, entry: Entry, measured: Latency | None, misses: Sequence[Miss]
    ) -> LatencyReceipt:
        prediction = self.predict(entry)
        return LatencyReceipt(
            device=self.device,
            limit_ms=self.limit.ms,
            percentile=self.limit.percentile,
            predicted_ms=prediction.ms,
            extrapolated=prediction.extrapolated,
            conditions=self.conditions,
            measured=measured,
            machine=Machine.this() if measured else None,
            missed=tuple(misses),
        )

    def slowed(self, misses: Sequence[Miss]) -> dict[str, DeviceProfile]:
        """The profiles, the device as much slower as the mildest of some misses was."""
        percentile = self.limit.percentile
        factor = min(m.measured.percentile(percentile) / m.predicted_ms for m in misses)
        slowed = self.profiles[self.device].slowed(self.conditions, factor)
        return {**self.profiles, self.device: slowed}


def _next_choice(
    entries: Sequence[Entry], budget: Budget, kept: _Limit, misses: Sequence[Miss], score: Score
) -> Choice:
    missed = {(miss.superlm, miss.architecture) for miss in misses}
    left = [e for e in entries if (e.superlm, e.candidate.architecture) not in missed]
    if len(misses) < TRIES and left:
        with contextlib.suppress(InfeasibleBudget):
            return search(left, budget, kept.slowed(misses), score)
    percentile = kept.limit.percentile
    fastest = min(miss.measured.percentile(percentile) for miss in misses)
    raise LatencyMissed(
        f"Predicted to take at most {kept.limit.ms:g} ms (percentile {percentile} on "
        f"{kept.device}), {len(misses)} measured in turn, all slower: {fastest:g} ms at least. Ask "
        "for more ms, or profile the device again if it is slower now than it was then.",
        device=kept.device,
        asked=kept.limit.ms,
        least_measured=fastest,
        missed=[miss.model_dump(mode="json") for miss in misses],
    )
