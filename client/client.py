"""The synchronous client: plan, extract, follow, download."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import httpx

from client import calls, profiling
from client.admin import Admin
from client.downloads import download
from client.driver import Driver
from client.events import EventFeed, wait_for_end
from client.extraction import build_request, extract
from client.http import Place, client_options, place_of_environment, unusable
from client.pages import PageFeed
from client.progress import ignore, watching
from client.retries import RetryPolicy, ask
from client.steps import JSON, Call, Feed, Steps
from client.types import Artifact, Event, Extraction, Student

T = TypeVar("T")


class Client:
    """A client of one service.

    Every request has a timeout, and is sent again with growing pauses if the connection breaks or
    the service is away for a moment. It raises `ApiProblem` if the service refuses something, and
    `ServiceUnreachable` if it does not answer.

    Args:
        url: Where the service is, for example `http://127.0.0.1:8000`.
        api_key: A key with the scope `extract`.
        timeout: Seconds to wait for an answer.
        retries: How patient to be.

    Attributes:
        admin: What needs a key with the scope `admin`.
    """

    def __init__(
        self, url: str, api_key: str, timeout: float = 30.0, retries: RetryPolicy | None = None
    ) -> None:
        try:
            self._http = httpx.Client(**client_options(Place(url, api_key), timeout))
        except (httpx.InvalidURL, UnicodeEncodeError) as error:
            raise unusable(error) from error
        self._policy = retries or RetryPolicy()
        self.admin = Admin(self.run, self.iterate, self._policy)

    @classmethod
    def from_environment(cls, timeout: float = 30.0, retries: RetryPolicy | None = None) -> Self:
        """The client of AUTODISTIL_URL with the key of AUTODISTIL_API_KEY.

        Raises:
            InvalidInput: There is no key.
        """
        return cls(*place_of_environment(), timeout=timeout, retries=retries)

    def __enter__(self) -> Self:
        """Use as a context manager to close connections."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def superlms(self) -> list[JSON]:
        """The catalogue."""
        return self._items(calls.superlms())

    def superlm(self, reference: str) -> JSON:
        """A SuperLM with its students, by `name`, `name@version`, or `name@alias`."""
        return self._ask(calls.superlm(reference))

    def frontier(self, reference: str, x: str = "macs", **conditions: Any) -> JSON:
        """The students of a SuperLM than which none is both better and cheaper.

        Args:
            reference: The SuperLM.
            x: The cost: macs, params, bytes, latency, ...
            conditions: `score`, and with latency `device`, `batch_size`, and so on.
        """
        return self._ask(calls.frontier(reference, x, conditions))

    def devices(self) -> list[JSON]:
        """Every device with what its profile holds."""
        return self._items(calls.devices())

    def device(self, name: str) -> JSON:
        """A device with its whole latency profile."""
        return self._ask(calls.device(name))

    def profile_device(
        self,
        name: str,
        request: Mapping[str, Any] | None = None,
        timeout: float = 3600.0,
        on_progress: Callable[[JSON], None] = ignore,
    ) -> JSON:
        """Have a worker on a device profile it, and wait until it has; needs the scope `admin`.

        Args:
            name: Name of the device.
            request: `{"conditions": [...], "students": ..., "effort": {...}}`, all optional.
            timeout: Seconds to wait for the end.
            on_progress: Called with the device whenever it was looked at.

        Returns:
            The device.

        Raises:
            ApiProblem: The profiling failed.
            NotEndedInTime: It goes on.
        """
        return self.run(
            profiling.profile_device(name, request or {}, self._policy, timeout, on_progress)
        )

    def plan(self, request: Mapping[str, Any]) -> JSON:
        """What an extraction would choose: `{"teacher" or "superlm": ..., "budget": {...}}`."""
        return self._ask(calls.plan(request))

    def create_extraction(
        self,
        request: Mapping[str, Any],
        idempotency_key: str | None = None,
        wait: int | None = None,
    ) -> Extraction:
        """Ask for a student.

        Args:
            request: `{"teacher" or "superlm": ..., "budget": {...}}`, and more.
            idempotency_key: The same key with the same request leads to the same job, within a
                day. A new one by default.
            wait: Seconds, at most 60, in which the job may end before it is answered.
        """
        return cast(Extraction, self._ask(calls.create_extraction(request, idempotency_key, wait)))

    def get_extraction(self, extraction_id: str) -> Extraction:
        """How an extraction stands."""
        return cast(Extraction, self._ask(calls.extraction(extraction_id)))

    def list_extractions(self, **filters: Any) -> Iterator[Extraction]:
        """Extractions, the newest first; the pages are asked for on the way.

        Args:
            filters: `state`, `superlm`, `teacher`, `mine`, ... as the service takes them.
        """
        feed = PageFeed(lambda cursor: calls.extractions(filters, cursor), self._policy)
        return cast(Iterator[Extraction], self.iterate(feed))

    def cancel(self, extraction_id: str) -> Extraction:
        """Stop an extraction; one that a worker is busy with ends at its next step."""
        return cast(Extraction, self._ask(calls.cancel(extraction_id)))

    def delete_artifacts(self, extraction_id: str) -> None:
        """Delete the artifacts of an extraction that has ended."""
        self._ask(calls.delete_artifacts(extraction_id))

    def events(self, extraction_id: str, after: int | None = None) -> Iterator[Event]:
        """What happens to an extraction until it has ended; a broken connection is resumed.

        Args:
            extraction_id: The extraction.
            after: Id of an event; only those after it are given.
        """
        return self.iterate(EventFeed(extraction_id, self._policy, after))

    def wait(
        self,
        extraction_id: str,
        timeout: float | None = 600.0,
        on_event: Callable[[Event], None] = ignore,
    ) -> Extraction:
        """Wait until an extraction has ended.

        Raises:
            ApiProblem: It failed or was canceled.
            NotEndedInTime: It goes on.
        """
        return self.run(wait_for_end(extraction_id, self._policy, timeout, on_event))

    def download(
        self,
        artifact: Artifact,
        target: str | Path,
        on_bytes: Callable[[int, int], None] = ignore,
    ) -> None:
        """Download an artifact and check its hash; `target` appears only when it is right.

        A download that broke goes on where it was, in this call or a later one.

        Args:
            artifact: One of an extraction's.
            target: The file.
            on_bytes: Called with the bytes that are there and those of the whole file.
        """
        self.run(download(artifact, Path(target), self._policy, on_bytes))

    def extract(
        self,
        budget: Mapping[str, Any],
        to: str | Path,
        on_event: Callable[[Event], None] = ignore,
        *,
        teacher: str | None = None,
        superlm: str | None = None,
        text: Sequence[str] | None = None,
        timeout: float | None = 600.0,
        progress: bool | None = None,
    ) -> Student:
        """Ask for a student, wait for it, and unpack it with its receipt into a folder.

        Args:
            budget: Limits, such as `{"macs": "60M"}`; or a whole request, with all below in it.
            to: An empty or missing folder; it is filled only when all went well.
            on_event: Called with each event; there are none if the result was known already.
            teacher: Choose among this teacher's SuperLMs.
            superlm: Choose in this SuperLM.
            text: Sentences of your own domain.
            timeout: Seconds to wait for the end of the job.
            progress: Whether to draw a bar on standard error; by default if it is a terminal.
        """
        request = build_request(budget, teacher, superlm, text)
        with watching(progress) as watcher:
            return self.run(extract(request, Path(to), self._policy, timeout, on_event, watcher))

    def run(self, steps: Steps[T]) -> T:
        """Do what some logic of the client asks for."""
        with Driver(self._http) as driver:
            return driver.run(steps)

    def iterate(self, feed: Feed[T]) -> Iterator[T]:
        """Go through a feed."""
        with Driver(self._http) as driver:
            yield from driver.iterate(feed)

    def _ask(self, call: Call) -> JSON:
        return self.run(ask(call, self._policy))

    def _items(self, call: Call) -> list[JSON]:
        return cast(list[JSON], self._ask(call)["items"])
