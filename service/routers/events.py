"""Events of an extraction, as a stream or as a list."""

from typing import Annotated

from fastapi import APIRouter, Header
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from service.dependencies import ExtractKey, PartsDep
from service.event_stream import read_events, stream_events
from service.problems import responses
from service.schemas.events import EventList
from service.schemas.extractions import ExtractionId

router = APIRouter(prefix="/v1/extractions/{extraction_id}/events", tags=["extractions"])

EventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        pattern=r"^[0-9]{1,18}$",
        description="Id of the last event that was seen; those after it follow.",
        examples=["17"],
    ),
]

_STREAM = {
    "description": "The events, as they happen or in a list",
    "content": {
        "text/event-stream": {
            # Of each event, as in OpenAPI 3.1 there is no schema for a stream.
            "schema": {
                "type": "object",
                "description": "An event; its `data` is an `Event` as JSON.",
                "properties": {
                    "id": {"type": "string"},
                    "event": {"type": "string", "description": "The event's `kind`."},
                    "data": {
                        "type": "string",
                        "contentMediaType": "application/json",
                        "contentSchema": {"$ref": "#/components/schemas/Event"},
                    },
                },
                "required": ["id", "event", "data"],
                "examples": [
                    {
                        "id": "17",
                        "event": "queued",
                        "data": '{"id":17,"kind":"queued","at":"2026-01-05T08:00:00Z",'
                        '"state":"queued","percent":0}',
                    }
                ],
            }
        }
    },
}


@router.get(
    "",
    operation_id="list_events",
    response_model=EventList,
    responses={200: _STREAM, **responses(401, 403, 404, 422, 429)},
)
async def list_events(
    extraction_id: ExtractionId,
    key: ExtractKey,
    parts: PartsDep,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
    last_event_id: EventId = None,
) -> Response | EventList:
    """What happens to an extraction, as server-sent events until it has ended.

    A stream that breaks, or that ends before the extraction, is resumed with the id of the last
    event that was seen as `Last-Event-ID`. With `Accept: application/json` the events so far are
    given as a list.
    """
    after = int(last_event_id or 0)
    found = await run_in_threadpool(read_events, parts, extraction_id, after)
    wanted = {kind.partition(";")[0].strip().lower() for kind in accept.split(",")}
    if "application/json" in wanted and "text/event-stream" not in wanted:
        return EventList(items=found)
    return stream_events(parts, extraction_id, found, after)
