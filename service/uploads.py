"""Uploaded archives: from the request's body straight to disk, counted and hashed on the way."""

import base64
import hashlib
from collections.abc import AsyncIterator, Mapping
from typing import BinaryIO, Protocol

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from autodistil.errors import AutoDistilError, InvalidInput
from database import registrations
from database.session import SessionFactory, reading
from models_store.uploads import Uploads
from service.problem_types import TooLarge

UPLOAD_PATH = "/v1/admin/uploads"

REPR_DIGEST = r"^sha-256=:[A-Za-z0-9+/]{43}=:$"
"""The field `Repr-Digest` of RFC 9530 with the one algorithm that is checked."""

ARCHIVE_TYPES = ("application/gzip", "application/x-gzip", "application/octet-stream")
"""Media types of an archive; the first one is the one to use."""

_BUFFER_BYTES = 1 << 20
_LEFT_SECONDS = 3600.0


class Digest(Protocol):
    """A hash in the making."""

    def update(self, data: bytes, /) -> None:
        """Take further bytes in."""


class DigestMismatch(AutoDistilError):
    """An upload whose bytes are not those that were announced."""

    status = 422
    type = "digest-mismatch"
    title = "The upload is not what was announced"


class UnsupportedMediaType(AutoDistilError):
    """A body that says it is something else than the operation takes."""

    status = 415
    type = "unsupported-media-type"
    title = "A body of this type is not taken"


class UploadBroken(AutoDistilError):
    """An upload whose client went away."""

    status = 400
    type = "upload-broken"
    title = "The upload broke off"


def announced_sha256(repr_digest: str | None, sha256: str | None) -> str:
    """The hash that an upload must have, in hexadecimal.

    Args:
        repr_digest: The header of that name, in the form of `REPR_DIGEST`.
        sha256: The same in hexadecimal.

    Raises:
        InvalidInput: There is neither.
        DigestMismatch: They contradict each other.
    """
    if repr_digest is None:
        if sha256 is None:
            raise InvalidInput("Announce the upload's hash: 'Repr-Digest: sha-256=:BASE64:'.")
        return sha256
    found = base64.b64decode(repr_digest.removeprefix("sha-256=:").removesuffix(":")).hex()
    if sha256 not in (None, found):
        raise DigestMismatch("The header Repr-Digest and the parameter sha256 name two hashes.")
    return found


def check_announced(headers: Mapping[str, str], max_bytes: int) -> None:
    """Refuse an upload by its headers, before any of it is read.

    Raises:
        UnsupportedMediaType: It does not say that it is an archive.
        TooLarge: It says that it is too large.
    """
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in ARCHIVE_TYPES:
        raise UnsupportedMediaType(f"Send a tar.gz archive as {ARCHIVE_TYPES[0]}.")
    length = headers.get("content-length", "0")
    # Python refuses to read a number of thousands of digits.
    if not length.isdigit() or len(length) > 18 or int(length) > max_bytes:
        raise _too_large(max_bytes)


async def receive(
    body: AsyncIterator[bytes],
    uploads: Uploads,
    registration_id: str,
    sha256: str,
    max_bytes: int,
) -> int:
    """Write an upload to disk; its archive appears only when all of it is there and right.

    Args:
        body: Its pieces, as they arrive.
        uploads: Where it goes.
        registration_id: Under which name.
        sha256: What it must have.
        max_bytes: The most it may have.

    Returns:
        Its size in bytes.

    Raises:
        TooLarge: It has more.
        DigestMismatch: It has another hash.
        UploadBroken: The client went away. Nothing is left on disk after any of these.
    """
    partial = await run_in_threadpool(uploads.partial, registration_id)
    digest, size = hashlib.sha256(), 0
    try:
        with partial.open("wb") as file:
            buffer = bytearray()
            try:
                async for piece in body:
                    size += len(piece)
                    if size > max_bytes:
                        raise _too_large(max_bytes)
                    buffer += piece
                    if len(buffer) >= _BUFFER_BYTES:
                        # Not in the event loop, where other requests would wait for the disk.
                        await run_in_threadpool(_write, file, digest, bytes(buffer))
                        buffer.clear()
            except ClientDisconnect as error:
                raise UploadBroken("The client went away during the upload.") from error
            await run_in_threadpool(_write, file, digest, bytes(buffer))
        if digest.hexdigest() != sha256:
            raise DigestMismatch(
                f"The {size:,} bytes that arrived have another sha256 than was announced.",
                sha256=digest.hexdigest(),
            )
        partial.replace(uploads.archive(registration_id))
    finally:
        partial.unlink(missing_ok=True)
    return size


def _write(file: BinaryIO, digest: Digest, content: bytes) -> None:
    digest.update(content)
    file.write(content)


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"A bundle may have {max_bytes:,} bytes.")


def remove_leftovers(sessions: SessionFactory, uploads: Uploads) -> None:
    """Remove what no registration needs: of those that ended, and of uploads cut off by a crash."""
    ages = uploads.ages()
    if not ages:
        return
    with reading(sessions) as session:
        ended = registrations.ended(session, ages.keys())
    for registration_id, age in ages.items():
        # One without a row may be on its way at this moment.
        if ended.get(registration_id, age > _LEFT_SECONDS):
            uploads.remove(registration_id)
