"""The client's logic without input and output: generators that yield steps and are sent results.

What a client does, from a retried request to a resumed download, is written once, as a generator.
`client.driver` takes its steps one after another, and `client.async_driver` does with `await`.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Item = TypeVar("Item", covariant=True)

JSON = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """A request.

    Attributes:
        method: GET, POST, ...
        path: Below the service's URL, with a slash before.
        params: Of the query.
        body: Sent as JSON.
        file: Sent as it is, in place of a body.
        headers: Further ones.
        extra_seconds: How much longer than usual the answer may take.
        repeatable: Whether the same request twice is as good as once.
    """

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    file: Path | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    extra_seconds: float = 0.0
    repeatable: bool = True


@dataclass(frozen=True)
class Answer:
    """The answer to a request.

    Attributes:
        status: Of HTTP.
        headers: By names, in lower case or not.
        body: All of it; of a stream only if it is an error.
        source: Of a stream: what the driver reads its content from.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    source: Any = None


@dataclass(frozen=True)
class Send:
    """Send a request and read the whole answer. The result is an `Answer`."""

    call: Call


@dataclass(frozen=True)
class Open:
    """Send a request and leave the content of the answer to be read. The result is an `Answer`.

    Attributes:
        call: The request.
        as_events: Read it as server-sent events in place of bytes.
        silence: Seconds that may pass without a byte.
    """

    call: Call
    as_events: bool = False
    silence: float = 30.0


@dataclass(frozen=True)
class Read:
    """Read on. The result is bytes or a server-sent event, None at the end."""

    stream: Answer


@dataclass(frozen=True)
class Close:
    """Let go of a stream. There is no result."""

    stream: Answer


@dataclass(frozen=True)
class Pause:
    """Wait. There is no result."""

    seconds: float


@dataclass(frozen=True)
class Work:
    """Do something that takes time on this machine. The result is what it returns."""

    function: Callable[[], object]


Step = Send | Open | Read | Close | Pause | Work

Steps = Generator[Step, Any, T]
"""Logic that comes to a `T`. `Disconnected` is thrown into it where a connection breaks."""


class Feed(Protocol[Item]):
    """Something that is gone through item by item."""

    def next(self) -> Generator[Step, Any, Item | None]:
        """The next item, or None after the last."""
