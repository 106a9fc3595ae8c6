"""What a worker works with."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from autodistil.errors import AutoDistilError
from database.session import SessionFactory
from models_store.artifacts import ArtifactStore


@dataclass(frozen=True)
class Workshop:
    """What a worker works with.

    Attributes:
        sessions: The database.
        store: Where artifacts go.
        scratch: Folder for work in progress; emptied after each extraction.
        lease: How long a sign of life lasts.
        max_attempts: How often workers may die on a piece of work.
        device: Name of the device that it runs on, if it has one.
        teachers: Folders or hub ids of teachers, by their names.
    """

    sessions: SessionFactory
    store: ArtifactStore
    scratch: Path
    lease: datetime.timedelta
    max_attempts: int
    device: str | None = None
    teachers: Mapping[str, str] = field(default_factory=dict)

    def check_device(self, device: str) -> None:
        """Refuse work that must be done on another device: its measurements would be of this one.

        Raises:
            AutoDistilError: The device is another.
        """
        if device != self.device:
            raise AutoDistilError(
                f"Work for the device {device!r} reached a worker on {self.device!r}; see "
                "AUTODISTIL_DEVICE of the workers."
            )


def unexpected(error: Exception) -> AutoDistilError:
    """An error that nobody foresaw as one that a row can keep."""
    return AutoDistilError(f"The worker failed unexpectedly ({type(error).__name__}): {error}")
