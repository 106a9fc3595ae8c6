"""Takes the steps of the client's logic, one after another."""

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from httpx_sse import EventSource

from client.http import answer_of, file_chunks, request_options, translated
from client.steps import Answer, Close, Feed, Open, Pause, Read, Send, Step, Steps, Work

T = TypeVar("T")


class Driver:
    """Takes steps over a connection; what they open is closed at the end of the block.

    Args:
        http: The connection.
    """

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._open: dict[int, tuple[httpx.Response, Iterator[Any]]] = {}

    def __enter__(self) -> Self:
        """For the length of some logic."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close what is open."""
        for response, _ in self._open.values():
            response.close()

    def run(self, steps: Steps[T]) -> T:
        """What the logic comes to."""
        try:
            step = next(steps)
            while True:
                try:
                    result = self._take(step)
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    step = steps.throw(translated(error, self._http.base_url))
                else:
                    step = steps.send(result)
        except StopIteration as end:
            value: T = end.value
            return value
        finally:
            steps.close()

    def iterate(self, feed: Feed[T]) -> Iterator[T]:
        """The items of a feed."""
        while (item := self.run(feed.next())) is not None:
            yield item

    def _take(self, step: Step) -> object:
        match step:
            case Send():
                return answer_of(self._http.send(self._request(step)))
            case Open():
                return self._open_stream(step)
            case Read():
                return next(self._open[id(step.stream.source)][1], None)
            case Close():
                self._open.pop(id(step.stream.source))[0].close()
            case Pause():
                time.sleep(step.seconds)
            case Work():
                return step.function()
        return None

    def _request(self, step: Send | Open) -> httpx.Request:
        silence = step.silence if isinstance(step, Open) else None
        options = request_options(step.call, self._http.timeout, silence)
        if step.call.file is not None:
            options["content"] = file_chunks(step.call.file)
        return self._http.build_request(**options)

    def _open_stream(self, step: Open) -> Answer:
        response = self._http.send(self._request(step), stream=True)
        if not response.is_success:
            try:
                response.read()
            finally:
                response.close()
            return answer_of(response)
        events = step.as_events  # bytes are read as they come: what has arrived is kept
        items: Iterator[Any] = EventSource(response).iter_sse() if events else response.iter_raw()
        self._open[id(response)] = (response, items)
        return answer_of(response, source=response)
