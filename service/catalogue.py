"""Candidate tables in memory: a registered SuperLM never changes, so its entries are kept."""

from autodistil.budget import Budget
from autodistil.search import Choice, Entry, entries_of, search
from database import superlms
from database.tables import SuperLMRow


class Catalogue:
    """Answers budgets over registered SuperLMs."""

    def __init__(self) -> None:
        self._entries: dict[str, list[Entry]] = {}

    def plan(self, rows: list[SuperLMRow], budget: Budget) -> Choice:
        """The choice over some SuperLMs; see `autodistil.search.search`."""
        return search([entry for row in rows for entry in self._of(row)], budget)

    def _of(self, row: SuperLMRow) -> list[Entry]:
        if row.id not in self._entries:
            self._entries[row.id] = entries_of([superlms.opened(row)])
        return self._entries[row.id]
