"""Pages of lists: so many rows from a place on, and where the next page begins."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from database.tables import Base

Row = TypeVar("Row", bound=Base)


@dataclass(frozen=True)
class Page(Generic[Row]):
    """A page of a list.

    Attributes:
        items: Its rows.
        next_cursor: What the next page begins after; None if this is the last.
    """

    items: list[Row]
    next_cursor: str | None


def read(
    session: Session, query: Select[Row], limit: int, cursor_of: Callable[[Row], str]
) -> Page[Row]:
    """A page of the rows that a query finds, which says where the page begins.

    Args:
        session: A session.
        query: Sorted, and without a limit.
        limit: The most rows of the page.
        cursor_of: Of the last row of a page, what the next begins after.
    """
    rows = list(session.scalars(query.limit(limit + 1)))  # one more tells whether there is more
    shown = rows[:limit]
    return Page(shown, cursor_of(shown[-1]) if len(rows) > limit else None)


def newest_first(
    session: Session,
    query: Select[Row],
    id_: InstrumentedAttribute[str],
    limit: int,
    before: str | None,
) -> Page[Row]:
    """A page of rows whose ids sort by time, the newest first.

    Args:
        session: A session.
        query: Neither sorted nor limited.
        id_: The column of the ids, see `database.tables.new_id`.
        limit: The most rows of the page.
        before: The `next_cursor` of the page before.
    """
    if before is not None:
        query = query.where(id_ < before)
    return read(session, query.order_by(id_.desc()), limit, lambda row: str(getattr(row, id_.key)))
