"""Deliveries of webhooks."""

import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from database.tables.base import Base, new_id, state_check, utc_now


class DeliveryState(StrEnum):
    """Where the delivery of a webhook stands."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


class DeliveryRow(Base):
    """A message to a webhook: sent, and sent again until it was taken or given up."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        state_check(DeliveryState),
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
