"""Artifacts: download what an extraction produced, or delete it."""

import base64
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import FileResponse
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from autodistil.errors import AutoDistilError
from database import artifacts
from database.session import reading
from service.dependencies import ExtractKey, PartsDep
from service.preconditions import http_date, is_unchanged, range_applies
from service.problems import answer, responses
from service.ranges import Part, RangeNotSatisfiable, requested_part
from service.retention import delete_files
from service.schemas.extractions import ExtractionId

router = APIRouter(prefix="/v1/extractions/{extraction_id}/artifacts", tags=["extractions"])

_MEDIA_TYPE = "application/gzip"
_FILE: dict[str, Any] = {
    "content": {_MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
}
_PROBLEMS = responses(401, 403, 404, 410, 412, 416, 422, 429)


class ArtifactGone(AutoDistilError):
    """The extraction is there, its file is not."""

    status = 410
    type = "artifact-gone"
    title = "The artifact's file is gone"


class PartOfFile(FileResponse):
    """A file, or one part of it, streamed from the disk.

    Which part is decided by `service.ranges`; FileResponse itself would answer several ranges, and
    sees only the one that was decided on.

    Args:
        path: The file.
        part: None is the whole of it.
        more: Of FileResponse.
    """

    def __init__(self, path: FilePath, part: Part | None, **more: Any) -> None:
        super().__init__(path, **more)
        self._part = part

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        kept = [
            (name, value) for name, value in scope["headers"] if name not in (b"range", b"if-range")
        ]
        if self._part is not None:
            kept.append((b"range", self._part.header().encode()))
        await super().__call__({**scope, "headers": kept}, receive, send)


@router.head(
    "/{name}",
    operation_id="describe_artifact",
    response_class=Response,
    responses={
        200: {"description": "It is there"},
        304: {"description": "The client has it"},
        **_PROBLEMS,
    },
)
@router.get(
    "/{name}",
    operation_id="download_artifact",
    response_class=FileResponse,
    responses={
        200: {"description": "The whole file", **_FILE},
        206: {"description": "The part that `Range` asked for", **_FILE},
        304: {"description": "The client has it"},
        **_PROBLEMS,
    },
)
def download_artifact(
    extraction_id: ExtractionId,
    name: Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")],
    request: Request,
    key: ExtractKey,
    parts: PartsDep,
) -> Response:
    """Download a file; its ETag is its sha256.

    A download that broke is resumed with `Range: bytes=N-` and the ETag as `If-Range`. A request
    for several ranges is answered with the whole file. `If-Match` and `If-None-Match` are honoured.
    """
    with reading(parts.sessions) as session:
        artifact = artifacts.find(session, extraction_id, name)
    if artifact is None:
        raise ArtifactGone(
            f"The artifacts of extraction {extraction_id} were deleted; ask for the student again."
        )
    path = parts.store.path(artifact.sha256)
    try:
        stat = path.stat()
    except OSError:
        stat = None
    if stat is None or stat.st_size != artifact.size_bytes:
        raise ArtifactGone(f"{name} is no longer stored; ask for the student again.")
    etag = f'"{artifact.sha256}"'
    headers = {
        "ETag": etag,
        "Last-Modified": http_date(artifact.modified),
        "Cache-Control": "private, immutable",
        "Accept-Ranges": "bytes",
    }
    if is_unchanged(request.headers, etag, artifact.modified):
        return Response(status_code=304, headers=headers)
    part = None
    if request.method == "GET" and range_applies(request.headers, etag, artifact.modified):
        try:
            part = requested_part(request.headers.get("range"), artifact.size_bytes)
        except RangeNotSatisfiable as error:
            return answer(error, headers | {"Content-Range": f"bytes */{artifact.size_bytes}"})
    headers["Repr-Digest"] = _digest(artifact.sha256)
    return PartOfFile(
        path, part, media_type=_MEDIA_TYPE, filename=name, headers=headers, stat_result=stat
    )


@router.delete(
    "",
    status_code=204,
    operation_id="delete_artifacts",
    responses=responses(401, 403, 404, 409, 422, 429),
)
def delete_artifacts(extraction_id: ExtractionId, key: ExtractKey, parts: PartsDep) -> None:
    """Delete the artifacts of an extraction that has ended, and its text; its receipt stays.

    A file that another extraction shares stays until that one's artifacts are deleted, too.
    """
    with parts.sessions.begin() as session:
        freed = artifacts.delete(session, extraction_id)
    delete_files(parts.sessions, parts.store, freed)


def _digest(sha256: str) -> str:
    """A hash as RFC 9530 writes it."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"
