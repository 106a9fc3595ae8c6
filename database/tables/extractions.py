"""Extractions, their artifacts, and their events."""

import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from database.tables.base import Base, LeasedRow, new_id, state_check, utc_now


class State(StrEnum):
    """Where an extraction stands."""

    QUEUED = "queued"
    SEARCHING = "searching"
    SLICING = "slicing"
    EXPORTING = "exporting"
    VERIFYING = "verifying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELING = "canceling"
    CANCELED = "canceled"


WORKING = (State.SEARCHING, State.SLICING, State.EXPORTING, State.VERIFYING)
"""States in which a worker holds the lease."""

TERMINAL = (State.SUCCEEDED, State.FAILED, State.CANCELED)
"""States that are never left."""


class ExtractionRow(LeasedRow, Base):
    """An extraction: the only truth about a job."""

    __tablename__ = "extractions"
    __table_args__ = (
        state_check(State),
        Index(None, "state", "lease_expires_at"),
        Index(None, "fingerprint", "state"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    request: Mapped[dict[str, Any]]
    api_key_id: Mapped[str | None] = mapped_column(ForeignKey("api_keys.id"))
    fingerprint: Mapped[str | None] = mapped_column(String(64))
    """Hash of everything that decides the result: equal fingerprints, one search."""
    leader_key: Mapped[str | None] = mapped_column(String(64), unique=True)
    """The fingerprint, of the one extraction that does the work while others wait for it."""
    webhook: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    superlm_ids: Mapped[list[Any]] = mapped_column(default=list)
    """The SuperLMs that it was planned on, and that its student is chosen from."""
    superlm_id: Mapped[str | None] = mapped_column(ForeignKey("superlms.id"))
    """The one that its student came from."""
    choice: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    receipt: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)
    started_at: Mapped[datetime.datetime | None]
    deleted_at: Mapped[datetime.datetime | None]
    """When its artifacts were deleted, by a user or because their time was over."""

    artifacts: Mapped[list["ArtifactRow"]] = relationship(
        order_by="ArtifactRow.name", lazy="selectin"
    )
    events: Mapped[list["EventRow"]] = relationship(order_by="EventRow.id")

    @property
    def device(self) -> str | None:
        """Name of the device that the latency limit names, on which the work must be done."""
        latency = self.request["budget"].get("latency") or {}
        device: str | None = latency.get("device")
        return device


class ArtifactRow(Base):
    """A file that an extraction produced; the content lies in the store under its hash."""

    __tablename__ = "artifacts"
    __table_args__ = (UniqueConstraint("extraction_id", "name"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    extraction_id: Mapped[str] = mapped_column(ForeignKey("extractions.id"))
    name: Mapped[str] = mapped_column(String(100))
    format: Mapped[str] = mapped_column(String(50))
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)


class EventRow(Base):
    """Something that happened to an extraction, in order of `id`."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    extraction_id: Mapped[str] = mapped_column(ForeignKey("extractions.id"), index=True)
    kind: Mapped[str] = mapped_column(String(50))
    data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)
