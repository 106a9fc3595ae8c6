"""API keys: made, listed, and revoked by admins."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from database import api_keys, audit
from database.errors import Conflict
from service.dependencies import AdminKey, ReadSession, WriteSession
from service.problems import responses
from service.schemas.api_keys import ApiKey, ApiKeyList, ApiKeyRequest, NewApiKey
from service.schemas.pages import ID_PATTERN, PageQuery

router = APIRouter(prefix="/v1/admin/api-keys", tags=["admin"])

KeyId = Annotated[str, Path(pattern=ID_PATTERN)]


@router.post("", status_code=201, operation_id="create_api_key", responses=responses(401, 403, 422))
def create_api_key(body: ApiKeyRequest, key: AdminKey, session: WriteSession) -> NewApiKey:
    """Make a key; its text is shown this once."""
    row, text = api_keys.create_key(
        session,
        body.label,
        list(set(body.scopes)),
        body.requests_per_minute,
        body.extractions_per_day,
    )
    audit.record(
        session, key.id, audit.Action.KEY_CREATE, row.id, label=row.label, scopes=row.scopes
    )
    return NewApiKey(**ApiKey.fields_of(row), key=text)


@router.get("", operation_id="list_api_keys", responses=responses(401, 403, 422))
def list_api_keys(
    key: AdminKey, session: ReadSession, query: Annotated[PageQuery, Query()]
) -> ApiKeyList:
    """Keys without their secrets, the newest first; revoked ones, too."""
    page = api_keys.list_page(session, query.limit, query.cursor)
    items = [ApiKey(**ApiKey.fields_of(row)) for row in page.items]
    return ApiKeyList(items=items, next_cursor=page.next_cursor)


@router.get("/{key_id}", operation_id="get_api_key", responses=responses(401, 403, 404, 422))
def get_api_key(key_id: KeyId, key: AdminKey, session: ReadSession) -> ApiKey:
    """A key without its secret."""
    return ApiKey(**ApiKey.fields_of(api_keys.get(session, key_id)))


@router.delete(
    "/{key_id}",
    status_code=204,
    operation_id="revoke_api_key",
    responses=responses(401, 403, 404, 409, 422),
)
def revoke_api_key(key_id: KeyId, key: AdminKey, session: WriteSession) -> None:
    """Make a key invalid for good; again does no harm. No key revokes itself, so that one stays."""
    if key_id == key.id:
        raise Conflict("This is the key of the request; revoke it with another admin key.")
    if api_keys.revoke_key(session, key_id):
        audit.record(session, key.id, audit.Action.KEY_REVOKE, key_id)
