"""A progress bar that follows the events of an extraction and then its download."""

import contextlib
from collections.abc import Iterator
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

from client.types import Event


def ignore(*_: object) -> None:
    """A callback that does nothing."""


class Watcher(Protocol):
    """Who is told how far an extraction is."""

    def on_event(self, event: Event) -> None:
        """Something happened to the job."""

    def on_bytes(self, done: int, total: int) -> None:
        """Some of the file is there."""


class Silent:
    """A watcher who does not care."""

    def on_event(self, event: Event) -> None:
        """Nothing."""

    def on_bytes(self, done: int, total: int) -> None:
        """Nothing."""


class Bar:
    """A watcher who draws.

    Args:
        progress: Where to draw.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._job = progress.add_task("student", total=100, note="")
        self._file = progress.add_task("download", total=None, note="", visible=False)

    def on_event(self, event: Event) -> None:
        """Move to the percent of the job."""
        self._progress.update(self._job, completed=event["percent"], note=event["kind"])

    def on_bytes(self, done: int, total: int) -> None:
        """Move to the share of the file that is there; the job has ended before."""
        self._progress.update(self._job, completed=100)
        note = f"{done / 1e6:.1f} of {total / 1e6:.1f} MB"
        self._progress.update(self._file, completed=done, total=total, note=note, visible=True)


@contextlib.contextmanager
def watching(progress: bool | None) -> Iterator[Watcher]:
    """A watcher for the length of a block.

    Args:
        progress: Whether to draw on standard error; None is only if that is a terminal.
    """
    console = Console(stderr=True)
    if progress is False or (progress is None and not console.is_terminal):
        yield Silent()
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as drawn:
        yield Bar(drawn)
