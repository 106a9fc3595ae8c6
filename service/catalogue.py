"""Candidate tables in memory: a registered SuperLM never changes, so its entries are kept."""

from collections.abc import Sequence

from autodistil.evaluation.quality import Score
from autodistil.search.budget import Budget
from autodistil.search.choice import Choice, search, with_latency
from autodistil.search.entry import Entry
from autodistil.search.fronts import CostAxis, pareto_front
from autodistil.search.latency_limit import Profiles
from autodistil.superlm.entries import entries_of
from database import superlms
from database.tables import SuperLMRow


class Catalogue:
    """Answers budgets over registered SuperLMs."""

    def __init__(self) -> None:
        self._entries: dict[str, list[Entry]] = {}

    def plan(self, rows: list[SuperLMRow], budget: Budget, profiles: Profiles) -> Choice:
        """The choice over some SuperLMs; see `autodistil.search.choice.search`."""
        return search([entry for row in rows for entry in self._of(row)], budget, profiles)

    def front(
        self,
        row: SuperLMRow,
        axis: CostAxis,
        score: Score,
        conditions: Budget | None = None,
        profiles: Profiles | None = None,
    ) -> list[Entry]:
        """The front of a SuperLM; see `autodistil.search.fronts.pareto_front`.

        Args:
            row: The SuperLM.
            axis: The cost.
            score: What is better the more there is of it.
            conditions: A budget whose latency limit says under which conditions to predict.
            profiles: The profiled devices.
        """
        entries: Sequence[Entry] = self._of(row)
        if conditions is not None:
            entries = with_latency(entries, conditions, profiles)
        return pareto_front(entries, axis, score)

    def _of(self, row: SuperLMRow) -> list[Entry]:
        if row.id not in self._entries:
            self._entries[row.id] = entries_of([superlms.opened(row)])
        return self._entries[row.id]
