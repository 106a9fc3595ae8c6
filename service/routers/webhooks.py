"""Webhooks: how the calls about an extraction went."""

from fastapi import APIRouter

from database import extractions, webhooks
from service.dependencies import ExtractKey, ReadSession
from service.problems import responses
from service.schemas.extractions import ExtractionId
from service.schemas.webhooks import Delivery, DeliveryList, WebhookMessage

router = APIRouter(prefix="/v1/extractions/{extraction_id}/deliveries", tags=["extractions"])
messages = APIRouter()
"""What is sent to webhooks, for the OpenAPI."""


@router.get("", operation_id="list_deliveries", responses=responses(401, 403, 404))
def list_deliveries(
    extraction_id: ExtractionId, key: ExtractKey, session: ReadSession
) -> DeliveryList:
    """The calls of the extraction's webhook; there is none before the extraction has ended."""
    extractions.get(session, extraction_id)
    rows = webhooks.list_of(session, extraction_id)
    return DeliveryList(items=[Delivery.of(row) for row in rows])


@messages.post("extraction-ended", operation_id="extraction_ended", tags=["extractions"])
def extraction_ended(message: WebhookMessage) -> None:
    """Sent to the `webhook` of an extraction when it has succeeded, failed, or been canceled.

    Signed as [Standard Webhooks](https://www.standardwebhooks.com) say. Answer with any 2xx; every
    other answer is retried for hours, with the same `webhook-id`.
    """
