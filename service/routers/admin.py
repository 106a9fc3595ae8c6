"""For admins: register SuperLMs, make and revoke API keys."""

import pathlib
from typing import Annotated

from fastapi import APIRouter, Path, Response

from database import api_keys
from service.dependencies import AdminKey, PartsDep, ReadSession, WriteSession
from service.problems import responses
from service.registration import check_path, register_bundle
from service.schemas.admin import (
    ApiKey,
    ApiKeyList,
    ApiKeyRequest,
    NewApiKey,
    RegistrationRequest,
)
from service.schemas.superlms import SuperLMSummary

router = APIRouter(prefix="/v1/admin", tags=["admin"])


@router.post(
    "/superlms",
    status_code=201,
    operation_id="register_superlm",
    responses={200: {"model": SuperLMSummary}, **responses(401, 403, 409, 422)},
)
def register_superlm(
    body: RegistrationRequest,
    key: AdminKey,
    parts: PartsDep,
    session: WriteSession,
    response: Response,
) -> SuperLMSummary:
    """Register a bundle that lies on the server.

    It is checked (strict spec, safetensors only, every tensor and hash), copied, and then ready.
    A bundle that is refused leaves nothing behind. The same bundle again answers 200.
    """
    path = check_path(pathlib.Path(body.path), parts.settings.bundle_roots)
    row, new = register_bundle(session, path, parts.settings.superlms_dir)
    response.status_code = 201 if new else 200
    response.headers["Location"] = f"/v1/superlms/{row.name}@{row.version}"
    return SuperLMSummary.of(row)


@router.post(
    "/api-keys", status_code=201, operation_id="create_api_key", responses=responses(401, 403, 422)
)
def create_api_key(body: ApiKeyRequest, key: AdminKey, session: WriteSession) -> NewApiKey:
    """Make a key; its text is shown this once."""
    row, text = api_keys.create_key(session, body.label, list(set(body.scopes)))
    return NewApiKey(**ApiKey.fields_of(row), key=text)


@router.get("/api-keys", operation_id="list_api_keys", responses=responses(401, 403))
def list_api_keys(key: AdminKey, session: ReadSession) -> ApiKeyList:
    """All keys, without their secrets."""
    return ApiKeyList(
        items=[ApiKey(**ApiKey.fields_of(row)) for row in api_keys.list_keys(session)]
    )


@router.delete(
    "/api-keys/{key_id}",
    status_code=204,
    operation_id="revoke_api_key",
    responses=responses(401, 403, 404),
)
def revoke_api_key(
    key_id: Annotated[str, Path(pattern=r"^[0-9a-f-]{36}$")], key: AdminKey, session: WriteSession
) -> None:
    """Make a key invalid for good."""
    api_keys.revoke_key(session, key_id)
