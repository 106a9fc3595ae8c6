"""Who calls: API keys, the idempotency keys of their requests, and what admins did."""

import datetime
from typing import Any

from sqlalchemy import ForeignKey, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from database.tables.base import Base, new_id, utc_now


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


class IdempotencyRow(Base):
    """The first answer to a request with an `Idempotency-Key`."""

    __tablename__ = "idempotency_keys"

    api_key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    request_sha256: Mapped[str] = mapped_column(String(64))
    extraction_id: Mapped[str | None] = mapped_column(ForeignKey("extractions.id"))
    created_at: Mapped[datetime.datetime] = mapped_column(default=utc_now, index=True)


class AuditRow(Base):
    """Something that an admin did."""

    __tablename__ = "audit"

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    api_key_id: Mapped[str | None] = mapped_column(ForeignKey("api_keys.id"))
    action: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(200))
    detail: Mapped[dict[str, Any]]
    created_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)
