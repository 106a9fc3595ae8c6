"""Artifacts: download what an extraction produced."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import FileResponse
from starlette.responses import Response

from autodistil.errors import AutoDistilError
from database import extractions
from database.errors import NotFound
from service.dependencies import ExtractKey, PartsDep, ReadSession
from service.problems import responses
from service.routers.extractions import ExtractionId

router = APIRouter(prefix="/v1/extractions/{extraction_id}/artifacts", tags=["extractions"])


class ArtifactGone(AutoDistilError):
    """The row is there, its file is not."""

    status = 410
    type = "artifact-gone"
    title = "The artifact's file is gone"


@router.head("/{name}", operation_id="describe_artifact", responses=responses(401, 403, 404))
@router.get(
    "/{name}",
    operation_id="download_artifact",
    response_class=FileResponse,
    responses=responses(401, 403, 404),
)
def download_artifact(
    extraction_id: ExtractionId,
    name: Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")],
    request: Request,
    key: ExtractKey,
    parts: PartsDep,
    session: ReadSession,
) -> Response:
    """Download a file; its ETag is its sha256."""
    row = extractions.get(session, extraction_id)
    artifact = next((item for item in row.artifacts if item.name == name), None)
    if artifact is None:
        raise NotFound(f"Extraction {extraction_id} has no artifact {name}; it is {row.state}.")
    headers = {"ETag": f'"{artifact.sha256}"', "Cache-Control": "private, immutable"}
    if _matches(request.headers.get("if-none-match"), artifact.sha256):
        return Response(status_code=304, headers=headers)
    path = parts.store.path(artifact.sha256)
    if not path.is_file():
        raise ArtifactGone(f"{name} is no longer stored; ask for the student again.")
    return FileResponse(path, media_type="application/gzip", filename=name, headers=headers)


def _matches(header: str | None, sha256: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in (header or "").split(",")]
    return "*" in tags or f'"{sha256}"' in tags
