"""A synchronous client: plan, extract, wait, download."""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from autodistil.errors import AutoDistilError, InvalidInput
from autodistil.output_folder import check_unused
from client.archive import unpack_into

_POLL_SECONDS = (0.1, 1.0)
_ENDED = ("succeeded", "failed", "canceled")


class ApiProblem(AutoDistilError):
    """A problem that the service answered with, or that a job ended with."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(str(problem.get("detail", "The service gave no reason.")))
        self._problem = problem

    @property
    def kind(self) -> str:
        """The last part of the problem's type, such as `infeasible-budget`."""
        return str(self._problem.get("type", "")).rsplit("/", 1)[-1]

    def problem(self) -> dict[str, Any]:
        """The problem object as the service sent it."""
        return self._problem


class ServiceUnreachable(AutoDistilError):
    """The service does not answer."""

    status = 503
    type = "unreachable"
    title = "The service does not answer"


class Client:
    """A client of one service.

    Args:
        url: Where the service is, for example `http://127.0.0.1:8000`.
        api_key: A key with the scope `extract`.
        timeout: Seconds to wait for an answer.
    """

    def __init__(self, url: str, api_key: str, timeout: float = 30.0) -> None:
        try:
            self._http = httpx.Client(
                base_url=url, headers={"Authorization": f"Bearer {api_key}"}, timeout=timeout
            )
        except (httpx.InvalidURL, UnicodeEncodeError) as error:
            raise InvalidInput(f"The URL or API key cannot be used: {error}.") from error

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
        self._http.close()

    def superlms(self) -> list[dict[str, Any]]:
        """The catalogue."""
        items: list[dict[str, Any]] = self._call("GET", "/v1/superlms")["items"]
        return items

    def plan(self, request: dict[str, Any]) -> dict[str, Any]:
        """What an extraction would choose: `{"teacher" or "superlm": ..., "budget": {...}}`."""
        return self._call("POST", "/v1/plans", request)

    def create_extraction(self, request: dict[str, Any]) -> dict[str, Any]:
        """Queue an extraction."""
        return self._call("POST", "/v1/extractions", request)

    def get_extraction(self, extraction_id: str) -> dict[str, Any]:
        """How an extraction stands."""
        return self._call("GET", f"/v1/extractions/{extraction_id}")

    def devices(self) -> list[dict[str, Any]]:
        """Every device with what its profile holds."""
        items: list[dict[str, Any]] = self._call("GET", "/v1/devices")["items"]
        return items

    def device(self, name: str) -> dict[str, Any]:
        """A device with its whole latency profile."""
        return self._call("GET", f"/v1/devices/{quote(name, safe='')}")

    def profile_device(
        self,
        name: str,
        request: dict[str, Any] | None = None,
        timeout: float = 3600.0,
        on_progress: Callable[[dict[str, Any]], None] = lambda device: None,
    ) -> dict[str, Any]:
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
            ServiceUnreachable: It did not end in time.
        """
        self._call("POST", f"/v1/admin/devices/{quote(name, safe='')}/profile", request or {})
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            device = self.device(name)
            on_progress(device)
            if device["state"] == "ready":
                return device
            if device["state"] == "failed":
                raise ApiProblem(device["problem"])
            time.sleep(_POLL_SECONDS[1])
        raise ServiceUnreachable(
            f"The device {name} is not profiled after {timeout:g} s; it may be yet. Does a worker "
            f"run with AUTODISTIL_DEVICE={name}?"
        )

    def wait(
        self,
        extraction_id: str,
        timeout: float = 600.0,
        on_progress: Callable[[dict[str, Any]], None] = lambda extraction: None,
    ) -> dict[str, Any]:
        """Wait until an extraction has ended.

        Raises:
            ApiProblem: It failed or was canceled.
            ServiceUnreachable: It did not end in time.
        """
        deadline, pause = time.monotonic() + timeout, _POLL_SECONDS[0]
        while time.monotonic() < deadline:
            extraction = self.get_extraction(extraction_id)
            on_progress(extraction)
            if extraction["state"] in _ENDED:
                if extraction["state"] == "succeeded":
                    return extraction
                raise ApiProblem(
                    extraction["problem"] or {"type": "canceled", "detail": "It was canceled."}
                )
            time.sleep(pause)
            pause = min(pause * 1.3, _POLL_SECONDS[1])
        raise ServiceUnreachable(
            f"Extraction {extraction_id} has not ended after {timeout:g} s; it goes on. "
            "Is a worker running? See /readyz."
        )

    def download(self, artifact: dict[str, Any], target: Path) -> None:
        """Download an artifact and check its hash; `target` appears only when it is right."""
        partial = target.with_name(target.name + ".partial")
        digest = hashlib.sha256()
        try:
            with self._http.stream("GET", artifact["url"]) as response:
                _check(response)
                with partial.open("wb") as file:
                    for chunk in response.iter_bytes(1 << 20):
                        digest.update(chunk)
                        file.write(chunk)
            if digest.hexdigest() != artifact["sha256"]:
                raise ServiceUnreachable(f"{artifact['name']} arrived damaged; download it again.")
            partial.replace(target)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        finally:
            partial.unlink(missing_ok=True)

    def extract(
        self,
        request: dict[str, Any],
        to: Path,
        on_progress: Callable[[dict[str, Any]], None] = lambda extraction: None,
    ) -> dict[str, Any]:
        """Ask for a student, wait for it, and unpack it with its receipt into a folder.

        Args:
            request: `{"teacher" or "superlm": ..., "budget": {...}}`, and `"text": [...]` for
                sentences of your own domain.
            to: An empty or missing folder; it is filled only when all went well.
            on_progress: Called with the extraction whenever it was looked at.

        Returns:
            The extraction.
        """
        check_unused(to)
        to = to.resolve()  # '.' has a name then
        created = self.create_extraction(request)
        extraction = self.wait(created["id"], on_progress=on_progress)
        to.parent.mkdir(parents=True, exist_ok=True)
        archive = to.with_name(f".{to.name}.tar.gz")
        try:
            self.download(extraction["artifacts"][0], archive)
            unpack_into(archive, to, extraction["receipt"])
        finally:
            archive.unlink(missing_ok=True)
        return extraction

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            response = self._http.request(method, path, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from error
        _check(response)
        try:
            answer: dict[str, Any] = response.json()
        except ValueError as error:
            raise self._unreachable(error) from error
        return answer

    def _unreachable(self, error: Exception) -> ServiceUnreachable:
        return ServiceUnreachable(
            f"No usable answer from {self._http.base_url} ({type(error).__name__}: {error}). "
            "Is the service running? Start one with 'autodistil up'."
        )


def _check(response: httpx.Response) -> None:
    if response.is_success:
        return
    response.read()
    try:
        problem = json.loads(response.text)
    except ValueError:
        problem = None
    if not isinstance(problem, dict) or "type" not in problem:
        problem = {"type": "unexpected-answer", "detail": f"HTTP status {response.status_code}."}
    raise ApiProblem(problem)
