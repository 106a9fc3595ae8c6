"""Aliases: names for versions of SuperLMs, set and moved by admins."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from autodistil.spaces.spec import Name
from database import aliases, audit
from service.dependencies import AdminKey, WriteSession
from service.problems import responses
from service.schemas.aliases import ALIAS_PATTERN, Alias, AliasRequest

router = APIRouter(prefix="/v1/admin/superlms/{name}/aliases", tags=["admin"])

SuperLMName = Annotated[Name, Path()]
AliasName = Annotated[str, Path(pattern=ALIAS_PATTERN)]


@router.put(
    "/{alias}",
    operation_id="set_alias",
    responses={
        201: {"model": Alias, "description": "The alias is new"},
        **responses(401, 403, 404, 409, 422),
    },
)
def set_alias(
    name: SuperLMName,
    alias: AliasName,
    body: AliasRequest,
    key: AdminKey,
    session: WriteSession,
    response: Response,
) -> Alias:
    """Point an alias to a version; `name@alias` then works wherever a SuperLM is named.

    `latest` cannot be set: it is the newest version that is not deprecated.
    """
    new = aliases.point(session, name, alias, body.version)
    reference = f"{name}@{body.version}"
    audit.record(session, key.id, audit.Action.ALIAS_SET, f"{name}@{alias}", superlm=reference)
    response.status_code = 201 if new else 200
    return Alias(name=name, alias=alias, version=body.version, superlm=reference)


@router.delete(
    "/{alias}",
    status_code=204,
    operation_id="delete_alias",
    responses=responses(401, 403, 404, 422),
)
def delete_alias(name: SuperLMName, alias: AliasName, key: AdminKey, session: WriteSession) -> None:
    """Forget an alias; the version that it pointed to stays."""
    aliases.delete(session, name, alias)
    audit.record(session, key.id, audit.Action.ALIAS_DELETE, f"{name}@{alias}")
