"""Equal requests share one search: how an extraction is added that may have equals."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from database import events, extractions, followers
from database.inserts import insert_unless_there
from database.tables import ExtractionRow, State, new_id, utc_now

IsStored = Callable[[str], bool]
"""Whether the file with a sha256 is in the store of artifacts."""


def create(
    session: Session,
    request: dict[str, Any],
    api_key_id: str | None,
    fingerprint: str,
    is_stored: IsStored,
    webhook: dict[str, Any] | None = None,
    superlm_ids: Sequence[str] = (),
) -> ExtractionRow:
    """Add an extraction that shares the work of its equals.

    Args:
        session: A transaction.
        request: What is asked for.
        api_key_id: Who asks.
        fingerprint: Hash of all that decides the result.
        is_stored: Whether a file is still there.
        webhook: What to call at the end.
        superlm_ids: The SuperLMs to choose from, see `database.superlms.pin`.

    Returns:
        A row that has succeeded if the result is known. Else a queued one, which leads if there
        was none to follow; a message is to be sent about a leader only.
    """
    values: dict[str, Any] = {
        "request": request,
        "api_key_id": api_key_id,
        "superlm_ids": list(superlm_ids),
        "webhook": webhook,
        "fingerprint": fingerprint,
    }
    while True:
        # Whether one leads is asked first: of one that ends in between, the result is then known.
        if _has_leader(session, fingerprint):
            return extractions.create(session, **values)
        source = _known_result(session, fingerprint, is_stored)
        if source is not None:
            return _create_ended(session, values, source)
        leader = new_id()
        keys = {"id": leader, "leader_key": fingerprint}
        if insert_unless_there(session, ExtractionRow, ["leader_key"], **keys, **values):
            events.record(session, leader, State.QUEUED)
            return extractions.get(session, leader)


def _known_result(session: Session, fingerprint: str, is_stored: IsStored) -> ExtractionRow | None:
    """The newest extraction that succeeded with a fingerprint and whose files are still there.

    Its row is locked against deletion until the transaction ends.
    """
    query = (
        select(ExtractionRow)
        .where(ExtractionRow.fingerprint == fingerprint, ExtractionRow.deleted_at.is_(None))
        .where(ExtractionRow.state == State.SUCCEEDED)
        .order_by(ExtractionRow.id.desc())
        .limit(1)
        .with_for_update(read=True)
    )
    row = session.scalar(query)
    if row is None or not row.artifacts:
        return None
    return row if all(is_stored(artifact.sha256) for artifact in row.artifacts) else None


def _has_leader(session: Session, fingerprint: str) -> bool:
    """Whether an extraction leads; if so, it does until the transaction ends.

    A leader that ends gives up its key, so that its change waits for this lock and then sees the
    follower that was added meanwhile. Its lease can be renewed all the same.
    """
    query = select(ExtractionRow.id).where(ExtractionRow.leader_key == fingerprint)
    return session.scalar(query.with_for_update(read=True, key_share=True)) is not None


def _create_ended(session: Session, values: dict[str, Any], source: ExtractionRow) -> ExtractionRow:
    row = extractions.create(session, **values)
    row.state, row.finished_at = State.SUCCEEDED, utc_now()
    for name, value in followers.result_of(source).items():
        setattr(row, name, value)
    session.flush()
    followers.record_shared(session, row.id, source)
    return extractions.get(session, row.id)
