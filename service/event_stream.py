"""The events of an extraction as server-sent events."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from database import events, extractions
from database.events import Progress
from database.session import reading
from database.tables import TERMINAL
from service.dependencies import Parts
from service.schemas.events import Event

_SEND_SECONDS = 30.0
_STOP_SECONDS = 2.0
"""In which a stream ends in good order when the server stops; the watcher tells it to."""


def read_events(parts: Parts, extraction_id: str, after: int) -> list[Event]:
    """The events of an extraction that came after one.

    Raises:
        NotFound: There is no such extraction.
    """
    with reading(parts.sessions) as session:
        extractions.get(session, extraction_id)
        rows = events.list_of(session, extraction_id)
    return [event for event in Event.sequence(rows) if event.id > after]


def stream_events(
    parts: Parts, extraction_id: str, first: Sequence[Event], after: int
) -> EventSourceResponse:
    """An answer that sends events as they happen until the extraction has ended.

    It holds no database session, sends comments while nothing happens, and ends after a time; the
    client then goes on from the last id that it saw.

    Args:
        parts: Of the service.
        extraction_id: The extraction.
        first: The events after `after` that have been read.
        after: Id of the last event that the client has seen.
    """
    return EventSourceResponse(
        _events(parts, extraction_id, first, after),
        ping=parts.settings.event_heartbeat_seconds,
        ping_message_factory=lambda: ServerSentEvent(comment="still here"),
        send_timeout=_SEND_SECONDS,
        shutdown_grace_period=_STOP_SECONDS,
        headers={"Cache-Control": "no-store"},
        sep="\n",
    )


async def _events(
    parts: Parts, extraction_id: str, first: Sequence[Event], after: int
) -> AsyncIterator[ServerSentEvent]:
    clock = asyncio.get_running_loop().time
    ends_at = clock() + parts.settings.event_stream_seconds
    found: Sequence[Event] = first
    while True:
        for event in found:
            after = event.id
            yield ServerSentEvent(
                id=str(event.id), event=event.kind, data=event.model_dump_json(), sep="\n"
            )
            if event.kind in TERMINAL:
                return
        news = partial(_is_news, after)
        if not await parts.watcher.wait(extraction_id, news, ends_at - clock()):
            return
        found = await run_in_threadpool(read_events, parts, extraction_id, after)
        if not found:  # it had ended before the last event that the client has seen
            return


def _is_news(after: int, progress: Progress) -> bool:
    return progress.last_event > after or progress.ended
