"""The deletion of a version of a SuperLM, refused while something needs it."""

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from database import superlms
from database.errors import Conflict
from database.tables import TERMINAL, AliasRow, ExtractionRow, RegistrationRow, SuperLMRow


def delete(session: Session, reference: str) -> SuperLMRow:
    """Take a version out of the catalogue; its folder is the caller's to remove afterwards.

    Extractions that have ended stay what they are: their receipts name the SuperLM with its hash,
    so that only the reference from row to row is cut. The same goes for its registration.

    Raises:
        NotFound: There is no such version.
        Conflict: An alias points to it, or an extraction that has not ended may choose it.
    """
    superlms.lock(session)
    row = superlms.get(session, reference)
    aliases = select(AliasRow.alias).where(AliasRow.superlm_id == row.id).order_by(AliasRow.alias)
    if found := list(session.scalars(aliases)):
        raise Conflict(
            f"{reference} has the aliases {', '.join(found)}; point them elsewhere first.",
            aliases=found,
        )
    # Who pins it in a transaction under way is waited for, and then seen.
    session.execute(select(SuperLMRow.id).where(SuperLMRow.id == row.id).with_for_update())
    if users := _unended_users(session, row):
        raise Conflict(
            f"{len(users)} extractions that have not ended may choose {reference}; wait for them "
            "or cancel them. A deprecated version is not chosen by new ones.",
            extractions=users[:20],
        )
    for table in (ExtractionRow, RegistrationRow):
        session.execute(update(table).where(table.superlm_id == row.id).values(superlm_id=None))
    session.delete(row)
    session.flush()
    return row


def _unended_users(session: Session, row: SuperLMRow) -> list[str]:
    """Extractions under way that choose from this SuperLM among others."""
    query = select(ExtractionRow.id, ExtractionRow.superlm_ids)
    under_way = query.where(ExtractionRow.state.not_in(TERMINAL)).order_by(ExtractionRow.id)
    return [id_ for id_, superlm_ids in session.execute(under_way) if row.id in superlm_ids]
