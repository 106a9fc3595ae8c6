"""Deliveries of webhooks: queued with the end of an extraction, claimed, tried again, given up."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from database.tables import DeliveryRow, DeliveryState, ExtractionRow, utc_now


@dataclass(frozen=True)
class Claim:
    """A delivery that this process tries now.

    Attributes:
        id: Of the delivery; the same at every attempt.
        extraction_id: What is told about.
        attempt: Which attempt this is, from 1.
    """

    id: str
    extraction_id: str
    attempt: int


def enqueue(session: Session, extraction_id: str) -> None:
    """Have the webhook of an extraction called, if it has one.

    It belongs in the transaction that ends the extraction: the end and its message are kept
    together or not at all.
    """
    query = select(ExtractionRow.webhook).where(ExtractionRow.id == extraction_id)
    if session.scalar(query) is not None:
        session.add(DeliveryRow(extraction_id=extraction_id))


def list_of(session: Session, extraction_id: str) -> list[DeliveryRow]:
    """The deliveries about an extraction, the oldest first."""
    query = select(DeliveryRow).where(DeliveryRow.extraction_id == extraction_id)
    return list(session.scalars(query.order_by(DeliveryRow.id)))


def any_due(session: Session) -> bool:
    """Whether the time of any delivery has come."""
    return session.scalar(_due().with_only_columns(DeliveryRow.id).limit(1)) is not None


def claim_due(session: Session, limit: int, hold: datetime.timedelta) -> list[Claim]:
    """Take deliveries whose time has come, the longest overdue first.

    A claim is the next attempt moved into the future: whoever moved it tries, and if this process
    dies while it does, another tries when the time has come again.

    Args:
        session: A transaction, to be committed before anything is sent.
        limit: How many at most.
        hold: Longer than an attempt can last.
    """
    claims = []
    for row in session.scalars(_due().limit(limit)):
        changed = session.execute(
            update(DeliveryRow)
            .where(DeliveryRow.id == row.id, DeliveryRow.attempts == row.attempts)
            .where(DeliveryRow.state == DeliveryState.WAITING)
            .values(attempts=DeliveryRow.attempts + 1, next_attempt_at=utc_now() + hold)
            .execution_options(synchronize_session=False)
        )
        if changed.rowcount:  # type: ignore[attr-defined]  # an UPDATE's result has it
            claims.append(Claim(row.id, row.extraction_id, row.attempts + 1))
    return claims


def settle(
    session: Session, claim: Claim, answer: str, *, delivered: bool, retry_seconds: Sequence[float]
) -> None:
    """Note how an attempt ended; one that another process has overtaken changes nothing.

    Args:
        session: A transaction.
        claim: The attempt.
        answer: What it met: a status or a kind of error, never a body.
        delivered: Whether it was taken.
        retry_seconds: How long to wait after the first, second, ... attempt that was not taken;
            after the last of them the delivery is given up.
    """
    values: dict[str, object] = {"answer": answer[:200]}
    if delivered:
        values["state"] = DeliveryState.DELIVERED
    elif claim.attempt > len(retry_seconds):
        values["state"] = DeliveryState.GIVEN_UP
    else:
        pause = datetime.timedelta(seconds=retry_seconds[claim.attempt - 1])
        values["next_attempt_at"] = utc_now() + pause
    session.execute(
        update(DeliveryRow)
        .where(DeliveryRow.id == claim.id, DeliveryRow.attempts == claim.attempt)
        .where(DeliveryRow.state == DeliveryState.WAITING)
        .values(values)
    )


def _due() -> Select[DeliveryRow]:
    return (
        select(DeliveryRow)
        .where(DeliveryRow.state == DeliveryState.WAITING)
        .where(DeliveryRow.next_attempt_at <= utc_now())
        .order_by(DeliveryRow.next_attempt_at)
    )
