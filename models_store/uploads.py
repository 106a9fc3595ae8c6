"""A folder for bundles on their way into the catalogue; nothing stays in it."""

import contextlib
import shutil
import time
import uuid
from pathlib import Path


class Uploads:
    """Archives and work folders of registrations; every name begins with a registration's id.

    Args:
        root: The folder; made when it is needed.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def archive(self, registration_id: str) -> Path:
        """Where the archive of a registration lies when all of it has arrived."""
        return self._root / f"{registration_id}.tar.gz"

    def partial(self, registration_id: str) -> Path:
        """Where it lies while it arrives."""
        self._root.mkdir(parents=True, exist_ok=True)
        return self._root / f"{registration_id}.partial"

    def work_folder(self, registration_id: str) -> Path:
        """An empty folder for one attempt: a worker that was thought dead may still write in its
        own.
        """
        folder = self._root / f"{registration_id}.{uuid.uuid4().hex}"
        folder.mkdir(parents=True)
        return folder

    def take(self, id_: str, folder: Path) -> None:
        """Move a folder here, if it is there, to be removed under an id."""
        self._root.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            folder.rename(self._root / f"{id_}.removed")

    def remove(self, registration_id: str) -> None:
        """Remove all that belongs to a registration."""
        for path in self._root.glob(f"{registration_id}.*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def ages(self) -> dict[str, float]:
        """Seconds since something of a registration was last changed, by its id."""
        ages: dict[str, float] = {}
        for path in self._root.glob("*.*"):
            registration_id = path.name.partition(".")[0]
            try:
                age = time.time() - path.stat().st_mtime
            except FileNotFoundError:
                continue
            ages[registration_id] = min(age, ages.get(registration_id, age))
        return ages
