"""SuperLMs, their aliases, and the registrations that lead to them."""

import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from database.tables.base import Base, LeasedRow, new_id, state_check, utc_now


class RegistrationState(StrEnum):
    """Where the registration of a SuperLM stands."""

    QUEUED = "queued"
    FETCHING = "fetching"
    CHECKING = "checking"
    VERIFYING = "verifying"
    EVALUATING = "evaluating"
    READY = "ready"
    FAILED = "failed"


class RegistrationRow(LeasedRow, Base):
    """A registration: a bundle on its way into the catalogue."""

    __tablename__ = "registrations"
    __table_args__ = (state_check(RegistrationState),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    request: Mapped[dict[str, Any]]
    """Where the bundle comes from: `path`, `url` and `sha256`, or the hash of an upload."""
    api_key_id: Mapped[str | None] = mapped_column(ForeignKey("api_keys.id"))
    percent: Mapped[int] = mapped_column(Integer, default=0)
    superlm_id: Mapped[str | None] = mapped_column(ForeignKey("superlms.id"))
    created_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)


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
