"""Aliases: names that point to a version of a SuperLM, and may be pointed to another."""

import sqlalchemy
from sqlalchemy import select
from sqlalchemy.orm import Session

from database import superlms
from database.errors import Conflict, NotFound
from database.tables import AliasRow, SuperLMRow, utc_now

LATEST = "latest"
"""Of every name; it is computed and cannot be set."""


def point(session: Session, name: str, alias: str, version: int) -> bool:
    """Point an alias to a version.

    Returns:
        Whether the alias is new.

    Raises:
        NotFound: There is no such version.
        Conflict: The alias is `latest`.
    """
    if alias == LATEST:
        raise Conflict(
            f"{name}@{LATEST} is the newest version that is not deprecated; name others."
        )
    superlms.lock(session)  # the version must not be deleted, nor the alias be set, meanwhile
    row = superlms.find(session, name, version)
    if row is None:
        raise NotFound(f"There is no SuperLM '{name}@{version}'.")
    existing = session.get(AliasRow, (name, alias))
    if existing is None:
        session.add(AliasRow(name=name, alias=alias, superlm_id=row.id))
    else:
        existing.superlm_id, existing.changed_at = row.id, utc_now()
    session.flush()
    return existing is None


def delete(session: Session, name: str, alias: str) -> None:
    """Forget an alias.

    Raises:
        NotFound: There is no such alias.
    """
    removed = session.execute(
        sqlalchemy.delete(AliasRow).where(AliasRow.name == name, AliasRow.alias == alias)
    )
    if not removed.rowcount:  # type: ignore[attr-defined]  # a DELETE's result has it
        raise NotFound(f"There is no alias '{name}@{alias}'.")


def of_name(session: Session, name: str) -> dict[str, int]:
    """The versions that the aliases of a name point to."""
    query = (
        select(AliasRow.alias, SuperLMRow.version)
        .join(SuperLMRow, SuperLMRow.id == AliasRow.superlm_id)
        .where(AliasRow.name == name)
        .order_by(AliasRow.alias)
    )
    return {row.alias: row.version for row in session.execute(query)}
