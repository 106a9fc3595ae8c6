"""Extractions that wait for another with the same fingerprint.

Of the extractions with one fingerprint that have not ended, one leads: it holds the fingerprint as
its unique `leader_key` and is worked on. The others follow: they are queued without a leader key,
no message is sent about them, and they end in the transaction in which their leader ends.
"""

from typing import Any

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from database import events, webhooks
from database.tables import ArtifactRow, ExtractionRow, State, utc_now


def does_not_follow() -> ColumnElement[bool]:
    """The condition under which a queued extraction is to be worked on."""
    return or_(ExtractionRow.fingerprint.is_(None), ExtractionRow.leader_key.is_not(None))


def result_of(row: ExtractionRow) -> dict[str, Any]:
    """The columns that a result consists of, but for its artifacts."""
    return {"superlm_id": row.superlm_id, "choice": row.choice, "receipt": row.receipt}


def record_shared(session: Session, extraction_id: str, source: ExtractionRow) -> None:
    """Give an extraction that succeeded through another the artifacts of that, and its event."""
    for file in source.artifacts:
        session.add(
            ArtifactRow(
                extraction_id=extraction_id,
                name=file.name,
                format=file.format,
                sha256=file.sha256,
                size_bytes=file.size_bytes,
            )
        )
    events.record(session, extraction_id, State.SUCCEEDED, shared_with=source.id)
    webhooks.enqueue(session, extraction_id)


def end_followers(session: Session, leader: ExtractionRow) -> None:
    """Let the followers of an extraction that just succeeded or failed end as it did."""
    succeeded = leader.state == State.SUCCEEDED
    values = result_of(leader) if succeeded else {"problem": leader.problem}
    query = (
        update(ExtractionRow)
        .where(*_follows(leader.fingerprint))
        .values(state=leader.state, finished_at=utc_now(), **values)
        .returning(ExtractionRow.id)
        .execution_options(synchronize_session=False)
    )
    for extraction_id in sorted(session.scalars(query)):
        if succeeded:
            record_shared(session, extraction_id, leader)
        else:
            problem = (leader.problem or {}).get("type")
            events.record(session, extraction_id, State.FAILED, problem=problem)
            webhooks.enqueue(session, extraction_id)


def pass_on(session: Session, fingerprint: str) -> None:
    """Let the oldest follower lead, as its leader was canceled; its message is yet to be sent."""
    query = select(ExtractionRow.id).where(*_follows(fingerprint)).order_by(ExtractionRow.id)
    heir = session.scalar(query.limit(1).with_for_update())
    if heir is not None:
        session.execute(
            update(ExtractionRow)
            .where(ExtractionRow.id == heir)
            .values(leader_key=fingerprint, sent_at=None)
        )


def unsent_leader(session: Session, fingerprint: str) -> str | None:
    """The queued leader that no message was sent about."""
    query = select(ExtractionRow.id).where(ExtractionRow.leader_key == fingerprint)
    return session.scalar(
        query.where(ExtractionRow.state == State.QUEUED, ExtractionRow.sent_at.is_(None))
    )


def _follows(fingerprint: str | None) -> tuple[ColumnElement[bool], ...]:
    return (
        ExtractionRow.fingerprint == fingerprint,
        ExtractionRow.state == State.QUEUED,
        ExtractionRow.leader_key.is_(None),
    )
