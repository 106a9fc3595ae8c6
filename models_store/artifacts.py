"""Artifacts by content: a file is kept once, under its sha256."""

import contextlib
import datetime
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from autodistil.spaces.spec import FileEntry


class ArtifactStore(Protocol):
    """What a store of artifacts can do. A folder is one; an object store can be another."""

    def put(self, source: Path) -> FileEntry:
        """Keep a copy of a file and return its hash and size."""

    def path(self, sha256: str) -> Path:
        """A local path to read the file from; it does not exist if the file is gone."""

    def remove(self, sha256: str) -> None:
        """Forget a file; one that is being read can be read to its end."""

    def shards(self) -> Sequence[str]:
        """Names of parts of about the same size, which can be looked through one by one."""

    def unused_since(self, shard: str, time: datetime.datetime) -> Iterator[str]:
        """Hashes of the files of a shard that were last put before a time."""


class FolderStore:
    """Artifacts in a folder, as `ab/abcdef...`.

    Args:
        root: The folder; made if missing.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, source: Path) -> FileEntry:
        """Keep a copy of a file; it appears under its hash only when it is whole on disk.

        One that is there already counts as put now.
        """
        entry = FileEntry.of(source)
        target = self.path(entry.sha256)
        with contextlib.suppress(FileNotFoundError):
            if target.stat().st_size == entry.size_bytes:
                os.utime(target)
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

    def remove(self, sha256: str) -> None:
        """Remove a file, if it is there."""
        self.path(sha256).unlink(missing_ok=True)

    def shards(self) -> Sequence[str]:
        """The first two digits of all hashes."""
        return [f"{number:02x}" for number in range(256)]

    def unused_since(self, shard: str, time: datetime.datetime) -> Iterator[str]:
        """Hashes of the files of a shard that were last put before a time.

        What a `put` left that was killed is removed on the way.
        """
        folder = self._root / shard
        if not folder.is_dir():
            return
        for path in sorted(folder.iterdir()):
            try:
                put_at = path.stat().st_mtime
            except FileNotFoundError:
                continue  # removed meanwhile
            if put_at >= time.timestamp():
                continue
            if path.name.startswith("."):
                path.unlink(missing_ok=True)
            else:
                yield path.name
