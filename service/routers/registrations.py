"""Registrations: bundles are sent or named by admins and looked at by workers."""

import pathlib
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Path, Query, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from database import registrations
from database.tables import RegistrationRow, new_id
from models_store.uploads import Uploads
from service.dependencies import AdminKey, Parts, PartsDep, ReadSession
from service.problems import responses
from service.registration import begin, check_path, tell_workers
from service.schemas.pages import ID_PATTERN
from service.schemas.registrations import (
    BundlePath,
    BundleUrl,
    Registration,
    RegistrationList,
    RegistrationQuery,
)
from service.uploads import (
    ARCHIVE_TYPES,
    REPR_DIGEST,
    UPLOAD_PATH,
    announced_sha256,
    check_announced,
    receive,
)
from worker.fetch import check_bundle_url

router = APIRouter(tags=["admin"])


@router.post(
    "/v1/admin/superlms",
    status_code=202,
    operation_id="register_superlm",
    responses=responses(401, 403, 422),
)
def register_superlm(
    body: Annotated[BundlePath | BundleUrl, Body()],
    key: AdminKey,
    parts: PartsDep,
    response: Response,
) -> Registration:
    """Register a bundle that lies on the server, or at a URL of a host that is allowed.

    A worker checks it (strict spec, safetensors only, every tensor and hash), copies it, and
    extracts a student for a proof; poll the `Location` until the state is `ready` or `failed`. A
    bundle that is refused leaves nothing behind. The same bundle again gets ready at once; other
    content under a name and version that are taken fails.
    """
    settings = parts.settings
    if isinstance(body, BundlePath):
        source = {"path": str(check_path(pathlib.Path(body.path), settings.bundle_roots))}
    else:
        check_bundle_url(
            body.url, settings.bundle_hosts, development=settings.development_bundle_urls
        )
        source = body.model_dump()
    return _begin(parts, new_id(), source, key.id, response)


@router.post(
    UPLOAD_PATH,
    status_code=202,
    operation_id="upload_superlm",
    responses=responses(400, 401, 403, 413, 415, 422),
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "A bundle as a tar.gz archive.",
            "content": {ARCHIVE_TYPES[0]: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def upload_superlm(
    request: Request,
    key: AdminKey,
    parts: PartsDep,
    response: Response,
    repr_digest: Annotated[
        str | None,
        Header(pattern=REPR_DIGEST, description="The archive's hash: `sha-256=:BASE64:`."),
    ] = None,
    sha256: Annotated[
        str | None,
        Query(pattern=r"^[0-9a-f]{64}$", description="The same in hexadecimal, in its place."),
    ] = None,
) -> Registration:
    """Register a bundle that is sent as the body, a tar.gz archive.

    Its hash must be announced, and is checked while it arrives. What happens then is the same as
    with a bundle on the server.
    """
    max_bytes = parts.settings.max_upload_bytes
    expected = announced_sha256(repr_digest, sha256)
    check_announced(request.headers, max_bytes)
    registration_id, uploads = new_id(), Uploads(parts.settings.uploads_dir)
    size = await receive(request.stream(), uploads, registration_id, expected, max_bytes)
    source = {"sha256": expected, "size_bytes": size}
    try:
        return await run_in_threadpool(_begin, parts, registration_id, source, key.id, response)
    except BaseException:
        uploads.remove(registration_id)
        raise


def _begin(
    parts: Parts, registration_id: str, source: dict[str, Any], key_id: str, response: Response
) -> Registration:
    with parts.sessions.begin() as session:
        row = begin(session, registration_id, source, key_id)
    # After the commit: a message about a row that nobody can see yet would be dropped.
    tell_workers(parts, registration_id)
    response.headers["Location"] = f"/v1/admin/registrations/{registration_id}"
    return Registration.of(row, None)


@router.get(
    "/v1/admin/registrations",
    operation_id="list_registrations",
    responses=responses(401, 403, 422),
)
def list_registrations(
    key: AdminKey, session: ReadSession, query: Annotated[RegistrationQuery, Query()]
) -> RegistrationList:
    """Registrations, the newest first."""
    page = registrations.list_page(session, query.limit, query.cursor, query.state)
    return RegistrationList(items=_described(session, page.items), next_cursor=page.next_cursor)


@router.get(
    "/v1/admin/registrations/{registration_id}",
    operation_id="get_registration",
    responses=responses(401, 403, 404, 422),
)
def get_registration(
    registration_id: Annotated[str, Path(pattern=ID_PATTERN)], key: AdminKey, session: ReadSession
) -> Registration:
    """How a registration stands."""
    (registration,) = _described(session, [registrations.get(session, registration_id)])
    return registration


def _described(session: Session, rows: list[RegistrationRow]) -> list[Registration]:
    references = registrations.references(session, rows)
    return [Registration.of(row, references.get(row.id)) for row in rows]
