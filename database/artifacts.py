"""Artifacts: found for a download, deleted, and which files of the store are still needed.

Extractions with the same result share one file. Whoever adds a row about a file, and whoever
removes a file that no row is about, holds the lock of its hash meanwhile; so no file vanishes that
a row has just been added about.
"""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from database import extractions
from database.errors import Conflict, NotFound
from database.tables import TERMINAL, ArtifactRow, ExtractionRow, utc_now


@dataclass(frozen=True)
class Found:
    """An artifact as a download needs it.

    Attributes:
        sha256: Of its content.
        size_bytes: Of its content.
        modified: When it came to be.
    """

    sha256: str
    size_bytes: int
    modified: datetime.datetime


def find(session: Session, extraction_id: str, name: str) -> Found | None:
    """An artifact by its name, or None if the artifacts of the extraction were deleted.

    Raises:
        NotFound: There is no such extraction, or it has no such artifact.
    """
    row = extractions.get(session, extraction_id)
    for artifact in row.artifacts:
        if artifact.name == name:
            modified = row.finished_at or row.created_at
            return Found(artifact.sha256, artifact.size_bytes, modified)
    if row.deleted_at is not None:
        return None
    raise NotFound(f"Extraction {extraction_id} has no artifact {name}; it is {row.state}.")


def delete(session: Session, extraction_id: str) -> list[str]:
    """Remove the artifacts of an extraction, and the text of its request; again changes nothing.

    Returns:
        Hashes of the files that may not be needed any more, the text's too. They are removed after
        the commit, see `lock` and `is_needed`.

    Raises:
        NotFound: There is no such extraction.
        Conflict: It has not ended.
    """
    # Locked, so that no equal request takes the artifacts over meanwhile.
    row = extractions.get(session, extraction_id, lock=True)
    if row.state not in TERMINAL:
        raise Conflict(
            f"Extraction {extraction_id} has not ended: {row.state}. Cancel it first, then delete.",
            state=row.state,
        )
    query = sqlalchemy.delete(ArtifactRow).where(ArtifactRow.extraction_id == extraction_id)
    hashes = set(session.scalars(query.returning(ArtifactRow.sha256)))
    if text := row.request.get("text"):
        hashes.add(text["sha256"])
    row.deleted_at = row.deleted_at or utc_now()
    session.flush()
    return sorted(hashes)


def outdated(session: Session, before: datetime.datetime, limit: int = 50) -> list[str]:
    """Extractions that ended before a time and whose artifacts are still there, some at a time.

    Artifacts are added when their extraction ends, so that the first of them are the oldest: only
    as many are looked at.
    """
    oldest = (
        select(ArtifactRow.extraction_id, ArtifactRow.id)
        .order_by(ArtifactRow.id)
        .limit(limit)
        .subquery()
    )
    query = (
        select(ExtractionRow.id)
        .where(ExtractionRow.id.in_(select(oldest.c.extraction_id)))
        .where(ExtractionRow.finished_at < before)
    )
    return list(session.scalars(query.order_by(ExtractionRow.id)))


def lock(session: Session, hashes: Iterable[str]) -> None:
    """Let nobody else add or remove files with some hashes until the transaction ends."""
    # A writing transaction of SQLite is alone from its beginning, which is now at the latest.
    session.connection()
    if session.get_bind().dialect.name == "postgresql":
        for sha256 in sorted(set(hashes)):  # in one order, so that no two wait for each other
            number = int(sha256[:16], 16) - (1 << 63)
            session.execute(select(func.pg_advisory_xact_lock(number)))


def is_needed(session: Session, sha256: str) -> bool:
    """Whether something is about a file: an artifact, or an extraction that is to read it."""
    if session.scalar(select(ArtifactRow.id).where(ArtifactRow.sha256 == sha256).limit(1)):
        return True
    text = ExtractionRow.request[("text", "sha256")].as_string()
    query = select(ExtractionRow.id).where(ExtractionRow.state.not_in(TERMINAL), text == sha256)
    return session.scalar(query.limit(1)) is not None
