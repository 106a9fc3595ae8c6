"""The tables. Their changes of state live in the module of each noun."""

from database.tables.base import Base, LeasedRow, UtcDateTime, new_id, utc_now
from database.tables.callers import ApiKeyRow, AuditRow, IdempotencyRow
from database.tables.extractions import (
    TERMINAL,
    WORKING,
    ArtifactRow,
    EventRow,
    ExtractionRow,
    State,
)
from database.tables.machines import DeviceRow, DeviceState, WorkerRow
from database.tables.superlms import AliasRow, RegistrationRow, RegistrationState, SuperLMRow
from database.tables.webhooks import DeliveryRow, DeliveryState

__all__ = [
    "TERMINAL",
    "WORKING",
    "AliasRow",
    "ApiKeyRow",
    "ArtifactRow",
    "AuditRow",
    "Base",
    "DeliveryRow",
    "DeliveryState",
    "DeviceRow",
    "DeviceState",
    "EventRow",
    "ExtractionRow",
    "IdempotencyRow",
    "LeasedRow",
    "RegistrationRow",
    "RegistrationState",
    "State",
    "SuperLMRow",
    "UtcDateTime",
    "WorkerRow",
    "new_id",
    "utc_now",
]
