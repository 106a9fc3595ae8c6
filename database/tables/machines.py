"""Machines: the devices whose latency is profiled, and the workers that live."""

import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from database.tables.base import Base, LeasedRow, state_check, utc_now


class DeviceState(StrEnum):
    """Where the profiling of a device stands."""

    QUEUED = "queued"
    PROFILING = "profiling"
    READY = "ready"
    FAILED = "failed"


class DeviceRow(LeasedRow, Base):
    """A device, its latency profile, and the profiling that was last asked for.

    The profile stays what it was until a profiling succeeds.
    """

    __tablename__ = "devices"
    __table_args__ = (state_check(DeviceState),)

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    request: Mapped[dict[str, Any]]
    percent: Mapped[int] = mapped_column(Integer, default=0)
    profile: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    requested_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)
    started_at: Mapped[datetime.datetime | None]


class WorkerRow(Base):
    """A sign of life of a worker."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    device: Mapped[str | None] = mapped_column(String(64))
    facts: Mapped[dict[str, Any]]
    """Versions, processor, threads."""
    started_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)
    seen_at: Mapped[datetime.datetime] = mapped_column(default=utc_now)
