"""Waiting for extractions without a thread or a database connection for each who waits.

One task of the process looks for all of them, and only while somebody waits: a query for many
extractions every 50 ms, more and more seldom down to every 500 ms while nothing changes.
"""

import asyncio
import logging
import signal
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from fastapi import Request
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from database import events
from database.events import Progress
from database.session import SessionFactory, reading

log = logging.getLogger(__name__)

_SHORTEST_SECONDS = 0.05
_LONGEST_SECONDS = 0.5
_GROWTH = 1.2

IsEnough = Callable[[Progress], bool]


@dataclass(eq=False)
class _Waiter:
    is_enough: IsEnough
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Watcher:
    """Wakes who waits for an extraction.

    Args:
        sessions: The database.
    """

    def __init__(self, sessions: SessionFactory) -> None:
        self._sessions = sessions
        self._waiters: dict[str, set[_Waiter]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiters.values()))

    async def wait(self, extraction_id: str, is_enough: IsEnough, seconds: float) -> bool:
        """Wait until an extraction is far enough, for a time at most.

        Args:
            extraction_id: The extraction; one that does not exist is never far enough.
            is_enough: Whether it is far enough.
            seconds: The longest that is waited.

        Returns:
            Whether it is far enough; if not, the time is over or the server stops.
        """
        waiter = _Waiter(is_enough)
        self._waiters[extraction_id].add(waiter)
        self._news.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch())
        try:
            async with asyncio.timeout(seconds):
                await waiter.done.wait()
        except TimeoutError:
            return False
        finally:
            self._remove(extraction_id, waiter)
        return not server_stops()

    def _remove(self, extraction_id: str, waiter: _Waiter) -> None:
        self._waiters[extraction_id].discard(waiter)
        if not self._waiters[extraction_id]:
            del self._waiters[extraction_id]

    async def _watch(self) -> None:
        """Look until nobody waits any more."""
        pause = _SHORTEST_SECONDS
        while self._waiters and not server_stops():
            self._news.clear()
            woken = await self._look()
            pause = _SHORTEST_SECONDS if woken else min(pause * _GROWTH, _LONGEST_SECONDS)
            await asyncio.sleep(_SHORTEST_SECONDS)
            try:
                async with asyncio.timeout(pause - _SHORTEST_SECONDS):
                    await self._news.wait()
                pause = _SHORTEST_SECONDS
            except TimeoutError:
                pass
        for waiters in self._waiters.values():
            for waiter in waiters:
                waiter.done.set()

    async def _look(self) -> bool:
        """Ask the database once about all, and wake whose extraction is far enough."""
        try:
            progress = await run_in_threadpool(self._ask, list(self._waiters))
        except SQLAlchemyError as error:
            log.warning("the database does not answer: %s", error)
            return False
        woken = False
        for extraction_id, found in progress.items():
            for waiter in self._waiters.get(extraction_id, ()):
                if not waiter.done.is_set() and waiter.is_enough(found):
                    waiter.done.set()
                    woken = True
        return woken

    def _ask(self, extraction_ids: list[str]) -> dict[str, Progress]:
        with reading(self._sessions) as session:
            return events.progress_of(session, extraction_ids)


async def wait_for_end(
    watcher: Watcher, request: Request, extraction_id: str, seconds: float
) -> None:
    """Wait until an extraction has ended, the time is over, or the client is gone."""
    tasks = [
        asyncio.create_task(watcher.wait(extraction_id, lambda found: found.ended, seconds)),
        asyncio.create_task(_disconnected(request)),
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def server_stops() -> bool:
    """Whether uvicorn has been told to stop.

    It tells an application only after the open requests have ended, or not in time.
    """
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return bool(getattr(server, "should_exit", False))
