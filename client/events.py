"""The events of an extraction, in order, without gaps or repeats, whatever the network does."""

import json
import time
from collections.abc import Callable
from typing import cast

from client import calls
from client.errors import ApiProblem, Disconnected, NotEndedInTime, ServiceUnreachable
from client.retries import Retries, RetryPolicy, ask, persist
from client.steps import Answer, Close, Open, Pause, Read, Steps
from client.types import ENDED, Event, Extraction

_SILENCE_SECONDS = 45.0
"""Three heartbeats of the service; a connection that is silent for longer is dead."""

_POLL_SECONDS = (0.1, 1.0)


class Deadline:
    """A time after which one does not wait any more.

    Args:
        seconds: From now on; None is never.
        what: What is waited for.
    """

    def __init__(self, seconds: float | None, what: str) -> None:
        self._ends_at = None if seconds is None else time.monotonic() + seconds
        self._seconds, self._what = seconds, what

    def left(self, most: float) -> float:
        """Seconds left, `most` at most.

        Raises:
            NotEndedInTime: None are.
        """
        if self._ends_at is None:
            return most
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise NotEndedInTime(
                f"{self._what} has not ended after {self._seconds:g} s; it goes on. "
                "Is a worker running? See /readyz."
            )
        return min(left, most)


class EventFeed:
    """The events of an extraction until it has ended.

    A stream that breaks is opened again from the last event on. A service without streams is asked
    how the extraction stands, again and again.

    Args:
        extraction_id: The extraction.
        policy: How patient to be.
        after: Id of an event; only those after it are given.
        timeout: Seconds to wait for the end.
    """

    def __init__(
        self,
        extraction_id: str,
        policy: RetryPolicy,
        after: int | None = None,
        timeout: float | None = None,
    ) -> None:
        self._id, self._policy, self._after = extraction_id, policy, after
        self._deadline = Deadline(timeout, f"Extraction {extraction_id}")
        self._retries = Retries(policy)
        self._stream: Answer | None = None
        self._polling = self._got_on = self._ended = self._done = False
        self._state = ""

    def next(self) -> Steps[Event | None]:
        """The next event, or None after the last."""
        while not self._done and not self._polling:
            try:
                if (event := (yield from self._read())) is not None:
                    return event
            except Disconnected as lost:
                yield from self._close()
                self._deadline.left(_SILENCE_SECONDS)
                yield from self._retries.wait(ServiceUnreachable(lost.detail))
        return None if self._done else (yield from self._poll())

    def _read(self) -> Steps[Event | None]:
        """One event, or None if it is to be tried again."""
        if self._stream is None and not (yield from self._open()):
            return None
        assert self._stream is not None  # noqa: S101 -- it was just opened
        sent = yield Read(self._stream)
        self._deadline.left(_SILENCE_SECONDS)
        if sent is None:
            yield from self._close()
            yield from self._note_end()
            return None
        if not sent.data:
            return None  # a heartbeat
        event = _parse(sent.data)
        number = event["id"] or 0
        if self._after is not None and number <= self._after:
            return None
        self._after, self._got_on = number, True
        self._retries.reset()
        if event["kind"] in ENDED:
            self._done = True
            yield from self._close()
        return event

    def _open(self) -> Steps[bool]:
        """Open the stream; if the service has none, say that it is to be polled."""
        self._got_on = False
        call = calls.events(self._id, self._after)
        silence = self._deadline.left(_SILENCE_SECONDS)
        try:
            step = Open(call, as_events=True, silence=silence)
            self._stream = yield from persist(step, self._policy)
        except ApiProblem as problem:
            if problem.status not in (404, 405, 406):
                raise
            self._polling = True
            return False
        return True

    def _close(self) -> Steps[None]:
        if self._stream is not None:
            yield Close(self._stream)
            self._stream = None

    def _note_end(self) -> Steps[None]:
        """A stream has a bounded life: it ends before the extraction, or because that has ended.

        One that ended without news although the extraction had ended before it began has told all.
        """
        if self._got_on:
            return
        if self._ended:
            self._done = True
            return
        extraction = yield from ask(calls.extraction(self._id), self._policy)
        self._ended = extraction["state"] in ENDED
        if not self._ended:
            yield Pause(_POLL_SECONDS[0])

    def _poll(self) -> Steps[Event]:
        """The next change of state, in place of an event."""
        pause = _POLL_SECONDS[0]
        while True:
            extraction = yield from ask(calls.extraction(self._id), self._policy)
            state = extraction["state"]
            if state != self._state:
                self._state, self._done = state, state in ENDED
                percent = extraction["percent"]
                return Event(id=None, kind=state, at=None, state=state, percent=percent)
            yield Pause(self._deadline.left(pause))
            pause = min(pause * 1.3, _POLL_SECONDS[1])


def wait_for_end(
    extraction_id: str,
    policy: RetryPolicy,
    timeout: float | None,
    on_event: Callable[[Event], None],
) -> Steps[Extraction]:
    """Go through the events of an extraction, and then read it.

    Raises:
        ApiProblem: It failed or was canceled.
        NotEndedInTime: It goes on.
    """
    feed = EventFeed(extraction_id, policy, timeout=timeout)
    while (event := (yield from feed.next())) is not None:
        on_event(event)
    return succeeded(cast(Extraction, (yield from ask(calls.extraction(extraction_id), policy))))


def succeeded(extraction: Extraction) -> Extraction:
    """An extraction that has ended, if it did so with success.

    Raises:
        ApiProblem: It failed or was canceled.
    """
    if extraction["state"] == "succeeded":
        return extraction
    canceled = {"type": "canceled", "status": 409, "detail": "The extraction was canceled."}
    raise ApiProblem(extraction["problem"] or canceled)


def _parse(data: str) -> Event:
    try:
        event = json.loads(data)
        if isinstance(event["id"], int) and isinstance(event["kind"], str):
            return cast(Event, event)
    except (ValueError, TypeError, KeyError):
        pass
    raise ServiceUnreachable(f"The event {data[:100]!r} cannot be read; is this the service?")
