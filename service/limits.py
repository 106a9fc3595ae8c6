"""A bound on the size of request bodies, enforced while they arrive."""

from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problem_types import TooLarge
from service.problems import answer

MAX_BODY_BYTES = 1 << 20


class BodyLimit:
    """Answers 413 to a body over the limit, whether or not its length was announced.

    Args:
        app: What answers all other requests.
        max_bytes: The limit.
        streamed: Method and path of the requests that count their bodies themselves.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_bytes: int = MAX_BODY_BYTES,
        streamed: Collection[tuple[str, str]] = (),
    ) -> None:
        self._app, self._max_bytes, self._streamed = app, max_bytes, streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a counted body."""
        if scope["type"] != "http" or (scope["method"], scope["path"]) in self._streamed:
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        body = b""
        message: Message = {"type": "http.request", "body": b"", "more_body": False}
        # A number of 18 digits is beyond any limit, and Python refuses to read one of thousands.
        too_large = (
            not announced.isdigit() or len(announced) > 18 or int(announced) > self._max_bytes
        )
        while not too_large:
            message = await receive()
            if message["type"] != "http.request":
                break
            body += message.get("body", b"")
            too_large = len(body) > self._max_bytes
            if not message.get("more_body"):
                break
        if too_large:
            error = TooLarge(f"A request body may have {self._max_bytes:,} bytes.")
            response = answer(error, {"Connection": "close"})
            await response(scope, receive, send)
            return
        replayed = False

        async def replay() -> Message:
            nonlocal replayed
            if replayed:
                return await receive()
            replayed = True
            if message["type"] != "http.request":
                return message
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)
