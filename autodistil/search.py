"""Search without re-training (paper, section 3.3): limits and candidates in, a student out."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

from autodistil.budget import Budget
from autodistil.candidates import Candidate
from autodistil.cost import Cost
from autodistil.errors import InfeasibleBudget, InvalidInput, UnknownDevice

if TYPE_CHECKING:
    from autodistil.superlm import SuperLM


class Entry(NamedTuple):
    """A candidate of one SuperLM.

    Attributes:
        superlm: `name@version` of the SuperLM.
        candidate: The student's row.
        teacher: Cost of the SuperLM's teacher, of which relative limits are shares.
    """

    superlm: str
    candidate: Candidate
    teacher: Cost

    def row(self) -> dict[str, Any]:
        """The candidate's row with its SuperLM, as JSON values."""
        return {"superlm": self.superlm, **self.candidate.model_dump(mode="json")}


class Choice(NamedTuple):
    """The answer of a search.

    Attributes:
        best: The student with the least held-out loss within the limits.
        limits: The limits in absolute numbers.
        feasible: How many candidates are within the limits.
        considered: How many there were.
        cheaper: The best student with fewer MACs, if there is one.
        better: The student with the fewest MACs among those with less loss, if there is one.
    """

    best: Entry
    limits: dict[str, int]
    feasible: int
    considered: int
    cheaper: Entry | None
    better: Entry | None

    def report(self) -> dict[str, Any]:
        """The answer as JSON values: what the CLI prints and the API sends."""
        return {
            "choice": self.best.row(),
            "limits": self.limits,
            "feasible": self.feasible,
            "considered": self.considered,
            "neighbours": {
                "cheaper": self.cheaper.row() if self.cheaper else None,
                "better": self.better.row() if self.better else None,
            },
        }


def entries_of(superlms: Iterable["SuperLM"]) -> list[Entry]:
    """The candidates of some SuperLMs, as a search takes them."""
    return [
        Entry(superlm.spec.reference, candidate, teacher)
        for superlm in superlms
        for teacher in [superlm.spec.teacher_cost]
        for candidate in superlm.candidates
    ]


def search(entries: Sequence[Entry], budget: Budget, devices: Sequence[str] = ()) -> Choice:
    """The best student within a budget, over the candidates of one or several SuperLMs.

    Args:
        entries: The candidates.
        budget: The limits, all of which must hold.
        devices: Names of the profiled devices.

    Raises:
        InfeasibleBudget: Names the binding limit, its least possible value, the nearest student.
        UnknownDevice: The budget limits latency on a device without a profile.
        InvalidInput: There are no candidates.
    """
    if not entries:
        raise InvalidInput("There are no candidates to search: no SuperLM was given.")
    if budget.latency is not None:
        raise _unknown_device(budget.latency.device, devices)
    limits = {entry.teacher: budget.limits(entry.teacher) for entry in entries}
    feasible = [e for e in entries if _fits(e.candidate, limits[e.teacher])]
    if not feasible:
        raise _infeasible(entries, limits)
    best = min(feasible, key=_rank)
    return Choice(
        best=best,
        limits=limits[best.teacher],
        feasible=len(feasible),
        considered=len(entries),
        cheaper=min(
            (e for e in entries if e.candidate.macs < best.candidate.macs), key=_rank, default=None
        ),
        better=min(
            (e for e in entries if e.candidate.loss < best.candidate.loss),
            key=lambda e: (e.candidate.macs, *_rank(e)),
            default=None,
        ),
    )


def _rank(entry: Entry) -> tuple[float, int, int, str]:
    """Least loss first; among equals the cheapest, and then a fixed order."""
    candidate = entry.candidate
    return (candidate.loss, candidate.macs, candidate.params, entry.superlm)


def _fits(candidate: Candidate, limits: dict[str, int]) -> bool:
    return all(getattr(candidate, axis) <= limit for axis, limit in limits.items())


def _unknown_device(device: str | None, devices: Sequence[str]) -> UnknownDevice:
    known = ", ".join(devices) or "none yet"
    asked = "names no device" if device is None else f"names the device {device!r}"
    return UnknownDevice(
        f"The latency limit {asked}; devices with a latency profile: {known}. "
        "Limit macs, params, or size_bytes instead.",
        devices=list(devices),
    )


def _infeasible(
    entries: Sequence[Entry], limits: Mapping[Cost, dict[str, int]]
) -> InfeasibleBudget:
    """Why nothing fits, in the terms of the limits nearest to being met."""

    def excess(entry: Entry) -> float:
        own = limits[entry.teacher]
        ratios: list[float] = [
            getattr(entry.candidate, axis) / max(limit, 1) for axis, limit in own.items()
        ]
        return max(ratios)

    nearest = min(entries, key=lambda e: (excess(e), *_rank(e)))
    own = limits[nearest.teacher]
    peers = [e for e in entries if e.teacher == nearest.teacher]
    binding = _binding(peers, own)
    described = " and ".join(
        f"{item['limit']} at most {item['asked']:,}, where {item['least_possible']:,} is the least"
        + (" possible", " once the other holds", " once the others hold")[min(len(binding), 3) - 1]
        for item in binding
    )
    first = binding[0]
    return InfeasibleBudget(
        f"No student fits: the budget asks for {described}. "
        f"The nearest student is {nearest.candidate.architecture.name} of {nearest.superlm}.",
        binding_limit=first["limit"],
        asked=first["asked"],
        least_possible=first["least_possible"],
        binding_limits=binding,
        nearest_student=nearest.row(),
    )


def _binding(entries: Sequence[Entry], limits: dict[str, int]) -> list[dict[str, Any]]:
    """The smallest set of limits that excludes every student; the hardest one first."""
    for count in range(1, len(limits) + 1):
        found = []
        for axes in combinations(limits, count):
            chosen = {axis: limits[axis] for axis in axes}
            if not any(_fits(entry.candidate, chosen) for entry in entries):
                found.append([_least(entries, chosen, axis) for axis in axes])
        if found:
            return max(
                found,
                key=lambda items: max(i["least_possible"] / max(i["asked"], 1) for i in items),
            )
    raise AssertionError("called although a student fits")


def _least(entries: Sequence[Entry], limits: dict[str, int], axis: str) -> dict[str, Any]:
    """The least value of an axis among the students within the other limits."""
    others = {other: limit for other, limit in limits.items() if other != axis}
    least = min(getattr(e.candidate, axis) for e in entries if _fits(e.candidate, others))
    return {"limit": axis, "asked": limits[axis], "least_possible": least}
