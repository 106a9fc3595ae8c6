"""Idempotency keys: which extraction the first request with a key led to."""

import dataclasses
import datetime
from dataclasses import dataclass

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from database.errors import IdempotencyKeyReused
from database.inserts import insert_unless_there
from database.tables import IdempotencyRow, utc_now


@dataclass(frozen=True)
class Remembered:
    """What is remembered of a request.

    Attributes:
        api_key_id: Who asked; each has keys of its own.
        key: The idempotency key.
        request_sha256: Hash of the body.
    """

    api_key_id: str
    key: str
    request_sha256: str


def find(session: Session, request: Remembered) -> str | None:
    """Id of the extraction that the same request led to before, if it did.

    Raises:
        IdempotencyKeyReused: The request with the key was another.
    """
    primary_key = (request.api_key_id, request.key)
    row = session.get(IdempotencyRow, primary_key, populate_existing=True)
    if row is None:
        return None
    if row.request_sha256 != request.request_sha256:
        raise IdempotencyKeyReused(
            "Another request was made with this Idempotency-Key; make a new key for each request, "
            "and repeat one only to repeat the same request."
        )
    return row.extraction_id


def reserve(session: Session, request: Remembered) -> bool:
    """Take a key for the extraction that this transaction adds.

    Returns:
        Whether it was free; one that a transaction under way holds is waited for.
    """
    unique = ["api_key_id", "key"]
    return insert_unless_there(session, IdempotencyRow, unique, **dataclasses.asdict(request))


def fill(session: Session, request: Remembered, extraction_id: str) -> None:
    """Note which extraction a reserved key led to."""
    session.execute(
        update(IdempotencyRow)
        .where(IdempotencyRow.api_key_id == request.api_key_id, IdempotencyRow.key == request.key)
        .values(extraction_id=extraction_id)
    )


def expire(session: Session, age: datetime.timedelta) -> None:
    """Forget the keys that were first used so long ago."""
    session.execute(delete(IdempotencyRow).where(IdempotencyRow.created_at < utc_now() - age))
