"""Webhooks: what is sent, and how its deliveries stand."""

import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel

from database.tables import DeliveryRow, DeliveryState, ExtractionRow
from service.problems import Problem, problem_object
from service.schemas.extractions import Artifact


class EndedExtraction(BaseModel):
    """What a webhook says about an extraction; the rest is at `url`, for those with a key."""

    id: str
    url: str
    state: Literal["succeeded", "failed", "canceled"]
    superlm: str | None
    artifacts: list[Artifact]
    problem: Problem | None


class WebhookMessage(BaseModel):
    """The end of an extraction, as it is sent to a webhook."""

    type: Literal["extraction.succeeded", "extraction.failed", "extraction.canceled"]
    timestamp: datetime.datetime
    data: EndedExtraction

    @classmethod
    def of(cls, row: ExtractionRow) -> Self:
        """From the row of an extraction that has ended."""
        return cls.model_validate(
            {
                "type": f"extraction.{row.state}",
                "timestamp": row.finished_at,
                "data": {
                    "id": row.id,
                    "url": f"/v1/extractions/{row.id}",
                    "state": row.state,
                    "superlm": row.choice["superlm"] if row.choice else None,
                    "artifacts": [Artifact.of(artifact) for artifact in row.artifacts],
                    "problem": problem_object(row.problem) if row.problem else None,
                },
            }
        )


def describe(row: ExtractionRow) -> dict[str, Any]:
    """The message about an extraction that has ended, as JSON values."""
    return WebhookMessage.of(row).model_dump(mode="json")


class Delivery(BaseModel):
    """How the call of a webhook stands.

    `answer` is what the last attempt met: an HTTP status, or `timeout`, `connection-failed`,
    `not-http`, `address-refused`, `extraction-deleted`, `internal-error`.
    """

    id: str
    state: DeliveryState
    attempts: int
    answer: str | None
    next_attempt_at: datetime.datetime | None
    created_at: datetime.datetime

    @classmethod
    def of(cls, row: DeliveryRow) -> Self:
        """From its row."""
        waiting = row.state == DeliveryState.WAITING
        return cls(
            id=row.id,
            state=DeliveryState(row.state),
            attempts=row.attempts,
            answer=row.answer,
            next_attempt_at=row.next_attempt_at if waiting else None,
            created_at=row.created_at,
        )


class DeliveryList(BaseModel):
    """The deliveries about an extraction."""

    items: list[Delivery]
    next_cursor: None = None
