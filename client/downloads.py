"""Downloads that go on where they broke, checked by their hash."""

import hashlib
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from autodistil.errors import InvalidInput
from client import calls
from client.errors import ApiProblem, DamagedDownload, Disconnected, ServiceUnreachable
from client.retries import Retries, RetryPolicy, persist
from client.steps import Answer, Close, Open, Read, Steps, Work
from client.types import Artifact

_BEHIND_THE_END = 416
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-")
_SILENCE_SECONDS = 30.0


def download(
    artifact: Artifact, target: Path, policy: RetryPolicy, on_bytes: Callable[[int, int], None]
) -> Steps[None]:
    """Download an artifact; `target` appears only when it is whole and right.

    What has arrived lies beside it until then, also after an error, and a later call goes on there.

    Raises:
        ApiProblem: The service refuses, for example because the artifact was deleted.
        DamagedDownload: It has another hash than it should have.
        ServiceUnreachable: The connection broke again and again.
        InvalidInput: The file cannot be written.
    """
    # Named by its content: what is left of another artifact is left alone.
    part = target.with_name(f".{target.name}.{artifact['sha256'][:16]}.partial")
    try:
        # Another download of the same content writes the same bytes to the same places.
        part.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
        resumed = part.stat().st_size > 0
        yield from _fetch(artifact, part, policy, on_bytes)
        if not (yield Work(partial(_is_right, part, artifact["sha256"]))) and resumed:
            part.write_bytes(b"")  # what an earlier call left may have been at fault
            yield from _fetch(artifact, part, policy, on_bytes)
        if not (yield Work(partial(_is_right, part, artifact["sha256"]))):
            part.unlink()
            raise DamagedDownload(f"{artifact['name']} arrived damaged; download it again.")
        part.replace(target)
    except OSError as error:
        raise InvalidInput(f"{target} cannot be written: {error.strerror}.") from error


def _fetch(
    artifact: Artifact, part: Path, policy: RetryPolicy, on_bytes: Callable[[int, int], None]
) -> Steps[None]:
    """Bring a file to its full length."""
    size, retries = artifact["size_bytes"], Retries(policy)
    with part.open("r+b") as file:
        furthest = done = min(file.seek(0, 2), size)
        on_bytes(done, size)
        while done < size:
            try:
                stream = yield from _open(artifact, done, policy)
                done = file.seek(_first_byte(stream, done))
                while done < size and (chunk := (yield Read(stream))):
                    done += file.write(chunk[: size - done])
                    on_bytes(done, size)
                yield Close(stream)
                error = ServiceUnreachable(f"{artifact['name']} ended after {done:,} bytes.")
            except Disconnected as lost:
                error = ServiceUnreachable(lost.detail)
            if done > furthest:  # a service that always begins anew does not get on
                furthest = done
                retries.reset()
            if done < size:
                yield from retries.wait(error)
        file.truncate(size)


def _open(artifact: Artifact, offset: int, policy: RetryPolicy) -> Steps[Answer]:
    call = calls.download(artifact["url"], artifact["sha256"], offset)
    try:
        return (yield from persist(Open(call, silence=_SILENCE_SECONDS), policy))
    except ApiProblem as problem:
        if problem.status != _BEHIND_THE_END:
            raise
    whole = calls.download(artifact["url"], artifact["sha256"], 0)
    return (yield from persist(Open(whole, silence=_SILENCE_SECONDS), policy))


def _first_byte(stream: Answer, offset: int) -> int:
    """Where the content of an answer begins: at the offset asked for, or it is all of it."""
    if stream.status != 206:
        return 0
    found = _CONTENT_RANGE.match(stream.headers.get("content-range", ""))
    if found is None or int(found[1]) > offset:
        raise ServiceUnreachable("The service sent another part of the file than was asked for.")
    return int(found[1])


def _is_right(path: Path, sha256: str) -> bool:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256
