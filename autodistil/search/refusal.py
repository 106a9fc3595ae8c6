"""Candidates against limits, as arrays: which fit, and if none does, why not.

A refusal names the fewest limits that no student meets together, how far each would have to be
raised, and the student that is nearest to all limits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autodistil.errors import InfeasibleBudget
from autodistil.search.budget import LATENCY, Budget

if TYPE_CHECKING:
    from autodistil.search.entry import Entry

Amount = int | float
_UNITS = {LATENCY: " ms"}
_LARGEST = 1 << 62
"""Limits beyond are compared as this, more than any student can have."""
_ONCE = ("possible", "once the other holds", "once the others hold")


@dataclass(frozen=True)
class Limits:
    """A budget's limits, and what candidates have of them.

    Attributes:
        entries: The candidates.
        limits: For every candidate the limits in absolute numbers, shares taken of its teacher.
        values: For every limited axis what the candidates have, [candidates].
        fits: For every limited axis whether they are within the limit, [candidates].
    """

    entries: Sequence["Entry"]
    limits: Sequence[Mapping[str, Amount]]
    values: dict[str, NDArray[Any]]
    fits: dict[str, NDArray[np.bool_]]

    @classmethod
    def of(cls, entries: Sequence["Entry"], budget: Budget) -> "Limits":
        """The limits of a budget over some candidates, of which there is at least one."""
        by_teacher = {id(entry.teacher): entry.teacher for entry in entries}
        known = {key: budget.limits(teacher) for key, teacher in by_teacher.items()}
        teachers = [id(entry.teacher) for entry in entries]
        values, fits = {}, {}
        for axis in known[teachers[0]]:
            values[axis] = np.array([entry.value(axis) for entry in entries])
            largest = {key: min(limits[axis], _LARGEST) for key, limits in known.items()}
            fits[axis] = values[axis] <= np.array([largest[key] for key in teachers])
        return cls(entries, [known[key] for key in teachers], values, fits)

    def within(self, axes: Sequence[str] | None = None) -> NDArray[np.bool_]:
        """Which candidates are within the limits of some axes, or of all."""
        chosen = [self.fits[axis] for axis in (self.fits if axes is None else axes)]
        found: NDArray[np.bool_] = np.logical_and.reduce(
            [np.ones(len(self.entries), bool), *chosen]
        )
        return found

    def refusal(self, order: NDArray[np.intp]) -> InfeasibleBudget:
        """Why no candidate is within all limits.

        Args:
            order: Indices of the candidates, the best one first.
        """
        excess = {
            axis: values / [own[axis] or 1 for own in self.limits]
            for axis, values in self.values.items()
        }
        # The nearest student is the one for which the limits must grow by the smallest factor.
        worst = np.max(list(excess.values()), axis=0)
        nearest = int(order[np.argmin(worst[order])])
        binding = self._binding(excess)
        entry, first = self.entries[nearest], binding[0]
        exceeds = {axis: entry.value(axis) for axis, fits in self.fits.items() if not fits[nearest]}
        once = _ONCE[min(len(binding), 3) - 1]
        asked = " and ".join(
            f"{_amount(item['limit'], item['asked'])}, where "
            f"{_number(item['least_possible'])} is the least {once}"
            for item in binding
        )
        has = ", ".join(_amount(axis, value, "") for axis, value in exceeds.items())
        return InfeasibleBudget(
            f"No student fits: the budget asks for {asked}. The nearest student is "
            f"{entry.candidate.architecture.name} of {entry.superlm}, with {has}.",
            binding_limit=first["limit"],
            asked=first["asked"],
            least_possible=first["least_possible"],
            binding_limits=binding,
            nearest_student=entry.row(),
            nearest_exceeds=exceeds,
        )

    def _binding(self, excess: Mapping[str, NDArray[Any]]) -> list[dict[str, Any]]:
        """The fewest limits that no candidate meets together; of several such the hardest ones."""
        for count in range(1, len(self.fits) + 1):
            excluding = [
                axes for axes in combinations(self.fits, count) if not self.within(axes).any()
            ]
            if excluding:
                found = [[self._least(axes, axis, excess) for axis in axes] for axes in excluding]
                hardest = max(found, key=lambda least: max(factor for factor, _ in least))
                return [item for _, item in hardest]
        raise AssertionError("called although a student fits")

    def _least(
        self, axes: Sequence[str], axis: str, excess: Mapping[str, NDArray[Any]]
    ) -> tuple[float, dict[str, Any]]:
        """What a limit would have to be for the others of a set to be met as well."""
        others = np.flatnonzero(self.within([other for other in axes if other != axis]))
        least = int(others[np.argmin(excess[axis][others])])
        return float(excess[axis][least]), {
            "limit": axis,
            "asked": self.limits[least][axis],
            "least_possible": self.entries[least].value(axis),
        }


def _amount(axis: str, value: Amount, relation: str = " at most") -> str:
    return f"{axis}{relation} {_number(value)}{_UNITS.get(axis, '')}"


def _number(value: Amount) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
