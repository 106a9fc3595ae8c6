"""What a search takes of bundles."""

from collections.abc import Iterable

from autodistil.search.entry import Entry
from autodistil.superlm.bundle import SuperLM


def entries_of(superlms: Iterable[SuperLM]) -> list[Entry]:
    """The candidates of some SuperLMs, as a search takes them."""
    return [
        Entry(superlm.spec.reference, candidate, teacher)
        for superlm in superlms
        for teacher in [superlm.spec.teacher_cost]
        for candidate in superlm.candidates
    ]
