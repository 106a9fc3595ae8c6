"""Takes the steps of the client's logic, one after another, and lets others work meanwhile."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from httpx_sse import EventSource

from client.http import answer_of, file_chunks, request_options, translated
from client.steps import Answer, Close, Feed, Open, Pause, Read, Send, Step, Steps, Work

T = TypeVar("T")


class AsyncDriver:
    """Takes steps over a connection; what they open is closed at the end of the block.

    Args:
        http: The connection.
    """

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._open: dict[int, tuple[httpx.Response, AsyncIterator[Any]]] = {}

    async def __aenter__(self) -> Self:
        """For the length of some logic."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close what is open."""
        for stream in list(self._open.values()):
            await _close(*stream)

    async def run(self, steps: Steps[T]) -> T:
        """What the logic comes to."""
        try:
            step = next(steps)
            while True:
                try:
                    result = await self._take(step)
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    step = steps.throw(translated(error, self._http.base_url))
                else:
                    step = steps.send(result)
        except StopIteration as end:
            value: T = end.value
            return value
        finally:
            steps.close()

    async def iterate(self, feed: Feed[T]) -> AsyncIterator[T]:
        """The items of a feed."""
        while (item := await self.run(feed.next())) is not None:
            yield item

    async def _take(self, step: Step) -> object:
        match step:
            case Send():
                return answer_of(await self._http.send(self._request(step)))
            case Open():
                return await self._open_stream(step)
            case Read():
                return await anext(self._open[id(step.stream.source)][1], None)
            case Close():
                await _close(*self._open.pop(id(step.stream.source)))
            case Pause():
                await asyncio.sleep(step.seconds)
            case Work():
                return await asyncio.to_thread(step.function)
        return None

    def _request(self, step: Send | Open) -> httpx.Request:
        silence = step.silence if isinstance(step, Open) else None
        options = request_options(step.call, self._http.timeout, silence)
        if step.call.file is not None:
            options["content"] = _chunks(step.call.file)
        return self._http.build_request(**options)

    async def _open_stream(self, step: Open) -> Answer:
        response = await self._http.send(self._request(step), stream=True)
        if not response.is_success:
            try:
                await response.aread()
            finally:
                await response.aclose()
            return answer_of(response)
        events = step.as_events  # bytes are read as they come: what has arrived is kept
        items: AsyncIterator[Any] = (
            EventSource(response).aiter_sse() if events else response.aiter_raw()
        )
        self._open[id(response)] = (response, items)
        return answer_of(response, source=response)


async def _close(response: httpx.Response, items: AsyncIterator[Any]) -> None:
    if isinstance(items, AsyncGenerator):
        await items.aclose()
    await response.aclose()


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    for chunk in file_chunks(path):
        yield chunk
