"""The tables. Their changes of state live in the module of each noun."""

import datetime
import os
import time
import uuid
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


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


def utc_now() -> datetime.datetime:
    """The time, aware of its zone."""
    return datetime.datetime.now(datetime.UTC)


def new_id() -> str:
    """A UUID that sorts by time of creation (version 7), so that lists page by id."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


class UtcDateTime(TypeDecorator[datetime.datetime]):
    """A point in time in UTC; SQLite keeps no zone, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(
        self, value: datetime.datetime | None, dialect: Dialect
    ) -> datetime.datetime | None:
        """Put the zone back."""
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=datetime.UTC)


class Base(DeclarativeBase):
    """Base of all tables; constraint names are fixed, so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 -- SQLAlchemy reads it from the class
        datetime.datetime: UtcDateTime,
        dict[str, Any]: JSON,
        list[Any]: JSON,
    }


class ApiKeyRow(Base):
    """An API key; the key itself is shown once and kept only as a hash."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    prefix: Mapped[str] = mapped_column(String(16), unique=True)
    sha256: Mapped[str] = mapped_column(String(64))
    label: Mapped[str] = mapped_column(String(100))
    scopes: Mapped[list[Any]]
    requests_per_minute: Mapped[int | None] = mapped_column(Integer)
    """None: what the settings say."""
    extractions_per_day: Mapped[int | None] = mapped_column(Integer)
    created_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)
    revoked_at: Mapped[datetime.datetime | None]


class RegistrationState(StrEnum):
    """Where the registration of a SuperLM stands."""

    QUEUED = "queued"
    FETCHING = "fetching"
    CHECKING = "checking"
    VERIFYING = "verifying"
    EVALUATING = "evaluating"
    READY = "ready"
    FAILED = "failed"


class RegistrationRow(Base):
    """A registration: a bundle on its way into the catalogue."""

    __tablename__ = "registrations"
    __table_args__ = (
        CheckConstraint(
            f"state IN ({', '.join(repr(s.value) for s in RegistrationState)})", name="state"
        ),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    state: Mapped[str] = mapped_column(String(16), default=RegistrationState.QUEUED)
    request: Mapped[dict[str, Any]]
    """Where the bundle comes from: `path`, `url` and `sha256`, or the hash of an upload."""
    api_key_id: Mapped[str | None] = mapped_column(ForeignKey("api_keys.id"))
    percent: Mapped[int] = mapped_column(Integer, default=0)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    lease_owner: Mapped[str | None] = mapped_column(String(200))
    lease_expires_at: Mapped[datetime.datetime | None]
    sent_at: Mapped[datetime.datetime | None]
    superlm_id: Mapped[str | None] = mapped_column(ForeignKey("superlms.id"))
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)
    finished_at: Mapped[datetime.datetime | None]


class SuperLMRow(Base):
    """A registered SuperLM: an immutable version of a name."""

    __tablename__ = "superlms"
    __table_args__ = (UniqueConstraint("name", "version"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(64))
    version: Mapped[int] = mapped_column(Integer)
    sha256: Mapped[str] = mapped_column(String(64))
    folder: Mapped[str] = mapped_column(String(4096))
    spec: Mapped[dict[str, Any]]
    candidates: Mapped[list[Any]]
    deprecated: Mapped[str | None] = mapped_column(String(500))
    """Why it should not be used any more; None of one that may be."""
    created_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)


class AliasRow(Base):
    """A name that points to a version of a SuperLM, and may be pointed to another."""

    __tablename__ = "superlm_aliases"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    alias: Mapped[str] = mapped_column(String(64), primary_key=True)
    superlm_id: Mapped[str] = mapped_column(ForeignKey("superlms.id"), index=True)
    changed_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)


class ExtractionRow(Base):
    """An extraction: the only truth about a job."""

    __tablename__ = "extractions"
    __table_args__ = (
        CheckConstraint(f"state IN ({', '.join(repr(s.value) for s in State)})", name="state"),
        Index(None, "state", "lease_expires_at"),
        Index(None, "fingerprint", "state"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    state: Mapped[str] = mapped_column(String(16), default=State.QUEUED)
    request: Mapped[dict[str, Any]]
    api_key_id: Mapped[str | None] = mapped_column(ForeignKey("api_keys.id"))
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    lease_owner: Mapped[str | None] = mapped_column(String(200))
    lease_expires_at: Mapped[datetime.datetime | None]
    sent_at: Mapped[datetime.datetime | None]
    fingerprint: Mapped[str | None] = mapped_column(String(64))
    """Hash of everything that decides the result: equal fingerprints, one search."""
    leader_key: Mapped[str | None] = mapped_column(String(64), unique=True)
    """The fingerprint, of the one extraction that does the work while others wait for it."""
    webhook: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    superlm_id: Mapped[str | None] = mapped_column(ForeignKey("superlms.id"))
    choice: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    receipt: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)
    started_at: Mapped[datetime.datetime | None]
    finished_at: Mapped[datetime.datetime | None]
    deleted_at: Mapped[datetime.datetime | None]
    """When its artifacts were deleted, by a user or because their time was over."""

    artifacts: Mapped[list["ArtifactRow"]] = relationship(
        order_by="ArtifactRow.name", lazy="selectin"
    )
    events: Mapped[list["EventRow"]] = relationship(order_by="EventRow.id")


class DeviceState(StrEnum):
    """Where the profiling of a device stands."""

    QUEUED = "queued"
    PROFILING = "profiling"
    READY = "ready"
    FAILED = "failed"


class DeviceRow(Base):
    """A device, its latency profile, and the profiling that was last asked for.

    The profile stays what it was until a profiling succeeds.
    """

    __tablename__ = "devices"
    __table_args__ = (
        CheckConstraint(
            f"state IN ({', '.join(repr(s.value) for s in DeviceState)})", name="state"
        ),
    )

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    state: Mapped[str] = mapped_column(String(16), default=DeviceState.QUEUED)
    request: Mapped[dict[str, Any]]
    percent: Mapped[int] = mapped_column(Integer, default=0)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    lease_owner: Mapped[str | None] = mapped_column(String(200))
    lease_expires_at: Mapped[datetime.datetime | None]
    sent_at: Mapped[datetime.datetime | None]
    profile: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    requested_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)
    started_at: Mapped[datetime.datetime | None]
    finished_at: Mapped[datetime.datetime | None]


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


class IdempotencyRow(Base):
    """The first answer to a request with an `Idempotency-Key`."""

    __tablename__ = "idempotency_keys"

    api_key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    request_sha256: Mapped[str] = mapped_column(String(64))
    extraction_id: Mapped[str | None] = mapped_column(ForeignKey("extractions.id"))
    created_at: Mapped[datetime.datetime] = mapped_column(default=utc_now, index=True)


class DeliveryState(StrEnum):
    """Where the delivery of a webhook stands."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


class DeliveryRow(Base):
    """A message to a webhook: sent, and sent again until it was taken or given up."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint(
            f"state IN ({', '.join(repr(s.value) for s in DeliveryState)})", name="state"
        ),
        Index(None, "state", "next_attempt_at"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    extraction_id: Mapped[str] = mapped_column(ForeignKey("extractions.id"), index=True)
    state: Mapped[str] = mapped_column(String(16), default=DeliveryState.WAITING)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    next_attempt_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)
    answer: Mapped[str | None] = mapped_column(String(200))
    """What the last attempt met: a status or an error, never a body."""
    created_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)


class WorkerRow(Base):
    """A sign of life of a worker."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    device: Mapped[str | None] = mapped_column(String(64))
    facts: Mapped[dict[str, Any]]
    """Versions, processor, threads."""
    started_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)
    seen_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)


class AuditRow(Base):
    """Something that an admin did."""

    __tablename__ = "audit"

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    api_key_id: Mapped[str | None] = mapped_column(ForeignKey("api_keys.id"))
    action: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(200))
    detail: Mapped[dict[str, Any]]
    created_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)
