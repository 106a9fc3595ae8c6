"""Bundles on their way into the catalogue: unpacked without trust, and put in their place."""

import gzip
import re
import shutil
import stat
import tarfile
import zlib
from dataclasses import replace
from pathlib import Path, PurePosixPath

from autodistil.errors import InvalidBundle
from autodistil.superlm.bundle import (
    CANDIDATES,
    CARD,
    SPEC,
    TOKENIZER,
    WEIGHTS,
    SuperLM,
)
from autodistil.training.loss_curve import LOSSES

_FILES = {SPEC, WEIGHTS, CANDIDATES, CARD, LOSSES}
_TOKENIZER_FILE = re.compile(rf"{TOKENIZER}/[a-z_]{{1,40}}\.(json|txt)")
_TOP_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")
_MAX_MEMBERS = 64
_PIECE_BYTES = 1 << 20


class _Bounded:
    """A stream read forward only, in small pieces, and no further than a limit.

    tarfile reads the long names and extended headers of a member at once, of whatever size the
    archive says they have.
    """

    def __init__(self, stream: gzip.GzipFile, max_bytes: int) -> None:
        self._stream, self._left, self._position = stream, max_bytes, 0

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _PIECE_BYTES:
            raise InvalidBundle("The archive has a header of more than 1 MB.")
        piece = self._stream.read(size)
        self._left -= len(piece)
        self._position += len(piece)
        if self._left < 0:
            raise InvalidBundle(
                "The archive holds more bytes than a bundle may have (AUTODISTIL_MAX_UPLOAD_BYTES)."
            )
        return piece

    def seek(self, position: int) -> int:
        if position < self._position:
            raise InvalidBundle("The archive cannot be read from its beginning to its end.")
        while self._position < position:
            if not self.read(min(position - self._position, _PIECE_BYTES)):
                raise InvalidBundle("The archive is truncated.")
        return position

    def tell(self) -> int:
        return self._position


def check_size(folder: Path, max_bytes: int) -> None:
    """Refuse a folder that is too large for a bundle, before any of its files is read.

    Args:
        folder: What is said to be a bundle.
        max_bytes: What all of its files may have.

    Raises:
        InvalidBundle: They have more, or there are more of them than any bundle has.
    """
    size = 0
    for number, path in enumerate(folder.rglob("*"), 1):
        if number > _MAX_MEMBERS:
            raise InvalidBundle(f"{folder} holds more than {_MAX_MEMBERS} files.")
        found = path.lstat()
        size += found.st_size if stat.S_ISREG(found.st_mode) else 0
    if size > max_bytes:
        raise InvalidBundle(
            f"{folder} has {size:,} bytes; a bundle may have {max_bytes:,} "
            "(AUTODISTIL_MAX_UPLOAD_BYTES)."
        )


def unpack(archive: Path, folder: Path, max_bytes: int) -> None:
    """Unpack a bundle from a tar.gz archive; its files lie in it bare or in one folder.

    Only plain files with the names that a bundle has are taken, each once. What they hold is not
    checked here: that is for `open_superlm`.

    Args:
        archive: The archive.
        folder: A missing or empty folder; after an error some files may lie in it.
        max_bytes: What all of the archive may unpack to; no more is ever written.

    Raises:
        InvalidBundle: Says what is wrong with the archive.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with gzip.open(archive) as stream:
            bounded = _Bounded(stream, max_bytes)
            # A TarFile needs no more of a file than these three methods.
            with tarfile.open(fileobj=bounded, mode="r:") as tar:  # type: ignore[call-overload]
                _unpack_members(tar, folder)
    except (
        *(tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error),
        *(ValueError, OverflowError, RecursionError),  # from headers that are nonsense
    ) as error:
        raise InvalidBundle(f"The archive is no whole tar.gz ({error}).") from error


def _unpack_members(tar: tarfile.TarFile, folder: Path) -> None:
    top: str | None = None
    taken: set[str] = set()
    for number, member in enumerate(tar, 1):
        if number > _MAX_MEMBERS:
            raise InvalidBundle(f"The archive has more than {_MAX_MEMBERS} members.")
        path = _plain_path(member)
        if member.isdir():
            continue  # the folders that are needed are made
        found, name = _split(path)
        if found != (top := found if top is None else top):
            raise InvalidBundle(f"The archive holds {member.name!r} beside the bundle.")
        if name in taken:
            raise InvalidBundle(f"The archive holds {name} twice.")
        taken.add(name)
        tarfile.data_filter(member.replace(name=name, deep=False), str(folder))
        target = folder / name
        target.parent.mkdir(exist_ok=True)
        content = tar.extractfile(member)
        assert content is not None  # noqa: S101 -- a plain file has content
        with content, target.open("xb") as file:
            shutil.copyfileobj(content, file, _PIECE_BYTES)


def _plain_path(member: tarfile.TarInfo) -> PurePosixPath:
    """The path of a member that is a plain file or a folder below the top of the archive."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\\" in member.name:
        raise InvalidBundle(f"The archive's {member.name!r} leads out of its folder.")
    if not (member.isdir() or member.type in (tarfile.REGTYPE, tarfile.AREGTYPE)):
        raise InvalidBundle(
            f"The archive's {member.name!r} is a link or a special file; bundles hold plain files."
        )
    if member.issparse():
        raise InvalidBundle(f"The archive's {member.name!r} is a sparse file.")
    return path


def _split(path: PurePosixPath) -> tuple[str, str]:
    """The folder that the bundle lies in, empty if none, and the name in the bundle."""
    name = path.as_posix()
    if _belongs(name):
        return "", name
    top, _, inner = name.partition("/")
    if _TOP_FOLDER.fullmatch(top) and _belongs(inner):
        return top, inner
    raise InvalidBundle(f"The archive holds {name!r}; no bundle has such a file.")


def _belongs(name: str) -> bool:
    return name in _FILES or bool(_TOKENIZER_FILE.fullmatch(name))


def put_in_place(superlm: SuperLM, target: Path) -> SuperLM:
    """Move a checked bundle to its place among the registered ones.

    Nobody else may do the same at this moment, and no row may say that the place is taken: what
    lies there then was left by a registration that died before its row was committed.

    Args:
        superlm: A bundle in a folder of our own, on the same file system.
        target: Where it goes.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        shutil.rmtree(target)
    superlm.folder.rename(target)
    return replace(superlm, folder=target)
