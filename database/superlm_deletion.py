"""The deletion of a version of a SuperLM, refused while something needs it."""

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from database import superlms
from database.errors import Conflict, NotFound
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
    """Extractions under way that chose this SuperLM, or may yet."""
    teacher = row.spec["teacher"]["name"]
    chosen_for_teacher = any(other.id == row.id for other in superlms.list_newest(session, teacher))
    query = select(ExtractionRow.id, ExtractionRow.superlm_id, ExtractionRow.request)
    users = []
    for id_, superlm_id, request in session.execute(
        query.where(ExtractionRow.state.not_in(TERMINAL)).order_by(ExtractionRow.id)
    ):
        asked = request.get("superlm")
        if (
            superlm_id == row.id
            or (asked is None and chosen_for_teacher and request.get("teacher") == teacher)
            or (asked is not None and _means(session, asked, row))
        ):
            users.append(id_)
    return users


def _means(session: Session, reference: str, row: SuperLMRow) -> bool:
    if reference.partition("@")[0] != row.name:
        return False
    try:
        return superlms.get(session, reference).id == row.id
    except NotFound:
        return False
