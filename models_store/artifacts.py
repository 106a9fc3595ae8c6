"""Artifacts by content: a file is kept once, under its sha256."""

import os
import shutil
import uuid
from pathlib import Path
from typing import Protocol

from autodistil.spaces.spec import FileEntry


class ArtifactStore(Protocol):
    """What a store of artifacts can do. A folder is one; an object store can be another."""

    def put(self, source: Path) -> FileEntry:
        """Keep a copy of a file and return its hash and size."""

    def path(self, sha256: str) -> Path:
        """A local path to read the file from; it does not exist if the file is gone."""


class FolderStore:
    """Artifacts in a folder, as `ab/abcdef...`.

    Args:
        root: The folder; made if missing.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, source: Path) -> FileEntry:
        """Keep a copy of a file; it appears under its hash only when it is whole on disk."""
        entry = FileEntry.of(source)
        target = self.path(entry.sha256)
        if target.is_file() and target.stat().st_size == entry.size_bytes:
            return entry
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{entry.sha256}.{uuid.uuid4().hex}")
        try:
            with source.open("rb") as reader, partial.open("wb") as writer:
                shutil.copyfileobj(reader, writer, 1 << 20)
                writer.flush()
                os.fsync(writer.fileno())
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)
        return entry

    def path(self, sha256: str) -> Path:
        """Path of the file with that hash."""
        return self._root / sha256[:2] / sha256
