"""How often a key, or an address without a valid one, may ask.

The counts live in the broker's Redis or Valkey, so that all processes of the API share them. A
broker that does not answer lets requests through: it is no reason to refuse what could be done.
"""

import logging
import math
import time
from dataclasses import dataclass
from typing import cast

from fastapi import Request
from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage, storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from database.errors import TooManyRequests

log = logging.getLogger(__name__)

_WINDOW_SECONDS = 60
_SOCKET_SECONDS = 0.2
_PAUSE_SECONDS = 5.0
_LOG_SECONDS = 60.0
_STATE = "rate_limit"


@dataclass(frozen=True)
class Standing:
    """How somebody stands after a request.

    Attributes:
        allowed: Whether the request may be answered.
        quota: Requests per minute.
        remaining: Requests that are left now.
        reset_seconds: When there will be more.
    """

    allowed: bool
    quota: int
    remaining: int
    reset_seconds: int

    def headers(self) -> dict[str, str]:
        """The fields of draft-ietf-httpapi-ratelimit-headers."""
        return {
            "RateLimit": f'"default";r={self.remaining};t={self.reset_seconds}',
            "RateLimit-Policy": f'"default";q={self.quota};w={_WINDOW_SECONDS}',
        }


class RateLimiter:
    """Counts requests in sliding windows of a minute.

    Args:
        broker_url: Redis or Valkey.
    """

    def __init__(self, broker_url: str) -> None:
        storage = storage_from_string(
            broker_url,
            socket_timeout=_SOCKET_SECONDS,
            socket_connect_timeout=_SOCKET_SECONDS,
            retry=Retry(NoBackoff(), 0),  # type: ignore[arg-type]  # goes on to redis
        )
        self._redis = cast(RedisStorage, storage).storage
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._away_until = 0.0
        self._logged_at = -math.inf

    def count(self, who: str, per_minute: int) -> Standing | None:
        """Count a request.

        Args:
            who: Whose it is, such as `key:ID`.
            per_minute: How many there may be; 0 is no limit.

        Returns:
            How they stand, or None if there is no limit or the request cannot be counted.
        """
        if not per_minute or time.monotonic() < self._away_until:
            return None
        limit = RateLimitItemPerMinute(per_minute)
        try:
            allowed = self._limiter.hit(limit, who)
            stats = self._limiter.get_window_stats(limit, who)
        except (RedisError, OSError) as error:
            self._note_away(error)
            return None
        wait = max(1, math.ceil(stats.reset_time - time.time()))
        return Standing(allowed, per_minute, stats.remaining if allowed else 0, wait)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _note_away(self, error: Exception) -> None:
        """Leave the broker alone for a while, so that few requests wait for it."""
        now = time.monotonic()
        self._away_until = now + _PAUSE_SECONDS
        if now - self._logged_at >= _LOG_SECONDS:
            self._logged_at = now
            log.warning("requests are not counted, as the broker does not answer: %s", error)


def limit(request: Request, limiter: RateLimiter, who: str, per_minute: int) -> None:
    """Count a request; how its sender stands goes into the headers of whatever is answered.

    Raises:
        TooManyRequests: Says in `retry_after` when to ask again, in seconds.
    """
    standing = limiter.count(who, per_minute)
    if standing is None:
        return
    request.scope["state"][_STATE] = standing
    if not standing.allowed:
        raise TooManyRequests(
            f"There may be {per_minute:,} requests in a minute. "
            f"Ask again in {standing.reset_seconds} s.",
            retry_after=standing.reset_seconds,
        )


def headers_of(scope: Scope) -> dict[str, str]:
    """How the sender of a request stands, as headers; none if it was not counted."""
    standing: Standing | None = scope.get("state", {}).get(_STATE)
    return standing.headers() if standing else {}


class RateLimitHeaders:
    """Adds the headers to every answer to a request that was counted, problems too.

    That of an error that nobody expected is made outside of this: `service.problems` adds them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers_of(scope))
            await send(message)

        await self._app(scope, receive, send_with_headers)
