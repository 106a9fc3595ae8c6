"""Bundles and archives of bundles, honest and hostile."""

import base64
import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from autodistil.superlm.bundle import SPEC
from tests.factories import shipped_narrow

Member = tuple[tarfile.TarInfo, bytes]


def variant(folder: Path, name: str, version: int = 1, **changes: Any) -> Path:
    """A valid bundle under another name, whose content depends on the changes of its spec."""
    shutil.copytree(shipped_narrow(), folder)
    edit_spec(folder, name=name, version=version, **changes)
    return folder


def edit_spec(folder: Path, **changes: Any) -> None:
    """Change members of a bundle's spec."""
    spec = json.loads((folder / SPEC).read_text())
    (folder / SPEC).write_text(json.dumps({**spec, **changes}))


def packed(folder: Path, top: str = "") -> bytes:
    """A bundle as an archive; its files lie bare or in a folder."""
    return archive(
        member(f"{top}{path.relative_to(folder).as_posix()}", path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    )


def member(name: str, content: bytes = b"", **fields: Any) -> Member:
    """A member of an archive; a plain file unless the fields say otherwise."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def archive(members: Iterable[Member]) -> bytes:
    """A tar.gz archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def long_header(size: int) -> bytes:
    """An archive whose first header announces a name of so many bytes, all of them zeros."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, size
    header = info.tobuf(tarfile.GNU_FORMAT)
    return gzip.compress(header) + gzip.compress(bytes(size), 1)


def repr_digest(content: bytes) -> dict[str, str]:
    """The headers that an upload needs."""
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    return {"Repr-Digest": f"sha-256=:{digest}:", "Content-Type": "application/gzip"}


def files_below(*folders: Path) -> list[str]:
    """Everything that lies in some folders."""
    return sorted(str(path) for folder in folders for path in folder.rglob("*"))
