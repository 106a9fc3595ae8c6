"""Inserts that a unique column may refuse."""

from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from database.tables import Base


def insert_unless_there(
    session: Session, row_class: type[Base], unique: list[str], **values: Any
) -> bool:
    """Insert a row, unless one has the same values in the unique columns.

    One that a transaction under way has inserted is waited for.

    Args:
        session: A transaction, which can go on whatever comes of it.
        row_class: Whose table it is.
        unique: The columns of the unique constraint.
        values: Of the row's columns.

    Returns:
        Whether it was inserted.
    """
    postgres = session.get_bind().dialect.name == "postgresql"
    table = row_class.__table__
    assert isinstance(table, Table)  # noqa: S101 -- declared as one
    insert = postgresql.insert(table) if postgres else sqlite.insert(table)
    statement = insert.values(**values).on_conflict_do_nothing(index_elements=unique)
    return session.execute(statement.returning(*table.primary_key)).first() is not None
