"""Leases: how workers hold rows that stand for work, each kind of work in the same way.

A worker takes a queued row by a conditional UPDATE and holds it by a lease with an end, which it
prolongs while it works. Whoever changes the row names the owner it believes in; a change that
matches no row means that the lease was lost.
"""

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Update, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from database.errors import LeaseLost
from database.tables import LeasedRow, utc_now

_ROWS_PER_QUERY = 100

Row = TypeVar("Row", bound=LeasedRow)


@dataclass(frozen=True)
class Leases(Generic[Row]):
    """The leases on the rows of one table.

    Attributes:
        rows: The class of the rows.
        key: Their primary key.
        oldest_first: The column by which rows that wait are sorted.
        noun: What a row is called.
        queued: The state in which a row waits for a worker.
        held: The states in which a worker holds the lease.
    """

    rows: type[Row]
    key: InstrumentedAttribute[str]
    oldest_first: InstrumentedAttribute[Any]
    noun: str
    queued: StrEnum
    held: Sequence[StrEnum]

    def mark_sent(self, session: Session, key: str) -> None:
        """Note that a message about a row went to the broker."""
        session.execute(update(self.rows).where(self.key == key).values(sent_at=utc_now()))

    def unsent(
        self, session: Session, resend_after: datetime.timedelta, *conditions: ColumnElement[bool]
    ) -> list[str]:
        """Queued rows without a message known to be under way, the oldest first, some at a time.

        Args:
            session: A session.
            resend_after: How long a message is believed to be under way.
            *conditions: What else must hold of the rows.
        """
        sent_at = self.rows.sent_at
        query = (
            select(self.key)
            .where(self.rows.state == self.queued, *conditions)
            .where(or_(sent_at.is_(None), sent_at < utc_now() - resend_after))
            .order_by(self.oldest_first)
            .limit(_ROWS_PER_QUERY)
        )
        return list(session.scalars(query))

    def claim(
        self,
        session: Session,
        key: str,
        owner: str,
        lease: datetime.timedelta,
        *conditions: ColumnElement[bool],
        **values: Any,
    ) -> bool:
        """Take a queued row.

        Args:
            session: A transaction.
            key: Of the row.
            owner: Who takes it.
            lease: How long the lease lasts.
            *conditions: What else must hold of the row.
            **values: Further values, such as the `state` of one who works.

        Returns:
            Whether it was there to be taken.
        """
        query = update(self.rows).where(self.key == key, self.rows.state == self.queued)
        values |= {"lease_owner": owner, "lease_expires_at": utc_now() + lease}
        values["attempts"] = self.rows.attempts + 1
        return _changes(session, query.where(*conditions).values(**values))

    def renew(self, session: Session, key: str, owner: str, lease: datetime.timedelta) -> None:
        """Prolong a lease.

        Raises:
            LeaseLost: Another holds the row, or it ended.
        """
        self.change(session, key, owner, lease_expires_at=utc_now() + lease)

    def change(
        self,
        session: Session,
        key: str,
        owner: str,
        states: Sequence[StrEnum] | None = None,
        **values: Any,
    ) -> None:
        """Change a row that is held.

        Args:
            session: A transaction.
            key: Of the row.
            owner: Who holds it.
            states: Those in which it may be changed; all in which it is held by default. The
                UPDATE itself checks them: one read before it could be out of date.
            **values: The new values.

        Raises:
            LeaseLost: Another holds the row, or it is in another state.
        """
        query = update(self.rows).where(self.key == key, self.rows.lease_owner == owner)
        query = query.where(self.rows.state.in_(self.held if states is None else states))
        if not _changes(session, query.values(**values)):
            raise LeaseLost(f"{owner} no longer holds {self.noun} {key}.")

    def recover(
        self,
        session: Session,
        max_attempts: int,
        dead_owner: str | None,
        give_up: Callable[[Row, str], None],
        **values: Any,
    ) -> list[str]:
        """Queue the rows of workers that are gone.

        Args:
            session: A transaction.
            max_attempts: A row that was tried so often is given up.
            dead_owner: Whose rows; by default of all whose lease ran out.
            give_up: Ends a row, held by the owner named.
            **values: Further values of rows that are queued again.

        Returns:
            Keys of the rows that are queued again.
        """
        queued = []
        values |= {"state": self.queued, "lease_owner": None, "sent_at": None}
        for row in self.lost(session, dead_owner, self.held):
            owner = row.lease_owner or ""
            if row.attempts >= max_attempts:
                give_up(row, owner)
                continue
            key = str(getattr(row, self.key.key))
            self.change(session, key, owner, **values)
            queued.append(key)
        return queued

    def lost(
        self, session: Session, dead_owner: str | None, states: Sequence[StrEnum]
    ) -> list[Row]:
        """Rows in some states whose worker is gone, locked; those that others hold are left out.

        Args:
            session: A transaction.
            dead_owner: Whose rows; by default all whose lease ran out.
            states: Those in which a lease is held.
        """
        gone = self.rows.lease_expires_at < utc_now()
        if dead_owner is not None:
            gone = self.rows.lease_owner == dead_owner
        query = select(self.rows).where(self.rows.state.in_(states), gone)
        return list(session.scalars(query.with_for_update(skip_locked=True)))


def ending() -> dict[str, Any]:
    """Values of a change that ends a piece of work: nobody holds the row any more."""
    return {"lease_owner": None, "lease_expires_at": None, "finished_at": utc_now()}


def _changes(session: Session, query: Update) -> bool:
    """Whether an UPDATE matched a row."""
    changed = session.execute(query)
    return bool(changed.rowcount)  # type: ignore[attr-defined]  # an UPDATE's result has it
