"""Lists that come page by page."""

from collections import deque
from collections.abc import Callable

from client.retries import RetryPolicy, ask
from client.steps import JSON, Call, Steps


class PageFeed:
    """The items of a list, whose pages are asked for when they are needed.

    Args:
        page: The request for the page with a cursor; None is the first.
        policy: How patient to be.
    """

    def __init__(self, page: Callable[[str | None], Call], policy: RetryPolicy) -> None:
        self._page, self._policy = page, policy
        self._items: deque[JSON] = deque()
        self._cursor: str | None = None
        self._last_page = False

    def next(self) -> Steps[JSON | None]:
        """The next item, or None after the last."""
        while not self._items and not self._last_page:
            answer = yield from ask(self._page(self._cursor), self._policy)
            self._items.extend(answer["items"])
            self._cursor = answer["next_cursor"]
            self._last_page = self._cursor is None
        return self._items.popleft() if self._items else None
