"""For admins: deprecate and delete versions of SuperLMs, list workers, read the audit trail."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from database import audit, superlm_deletion, superlms, workers
from models_store.uploads import Uploads
from service.dependencies import AdminKey, PartsDep, ReadSession, WriteSession
from service.problems import responses
from service.schemas.audit import AuditEntry, AuditList, AuditQuery
from service.schemas.superlms import DeprecationRequest, SuperLMSummary
from service.schemas.workers import Worker, WorkerList
from worker.entry import remove_folder

router = APIRouter(prefix="/v1/admin", tags=["admin"])

Version = Annotated[
    str,
    Path(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}@[0-9]{1,7}$",
        description="`name@version`; an alias would not say which version is meant.",
    ),
]


@router.patch(
    "/superlms/{reference}",
    operation_id="deprecate_superlm",
    responses=responses(401, 403, 404, 422),
)
def deprecate_superlm(
    reference: Version, body: DeprecationRequest, key: AdminKey, session: WriteSession
) -> SuperLMSummary:
    """Say why a version should not be used any more; null takes that back.

    A deprecated version is chosen only by who names it: it is left out of a teacher's choice, and
    is never `latest`.
    """
    row = superlms.deprecate(session, reference, body.deprecated)
    audit.record(session, key.id, audit.Action.SUPERLM_DEPRECATE, reference, reason=body.deprecated)
    return SuperLMSummary.of(row)


@router.delete(
    "/superlms/{reference}",
    status_code=204,
    operation_id="delete_superlm",
    responses=responses(401, 403, 404, 409, 422),
)
def delete_superlm(reference: Version, key: AdminKey, parts: PartsDep) -> None:
    """Delete a version for good, unless an alias or an extraction under way needs it.

    Extractions that have ended keep their receipts, which name the SuperLM with its hash, and
    their artifacts.
    """
    with parts.sessions.begin() as session:
        row = superlm_deletion.delete(session, reference)
        audit.record(session, key.id, audit.Action.SUPERLM_DELETE, reference, sha256=row.sha256)
    remove_folder(parts.sessions, row, Uploads(parts.settings.uploads_dir))


@router.get("/workers", operation_id="list_workers", responses=responses(401, 403))
def list_workers(key: AdminKey, parts: PartsDep, session: ReadSession) -> WorkerList:
    """The workers with their machines and what they do; one that died is listed for a day."""
    owned = workers.owned(session)
    seconds = parts.settings.presence_seconds
    return WorkerList(items=[Worker.of(row, owned, seconds) for row in workers.list_all(session)])


@router.get("/audit", operation_id="list_audit", responses=responses(401, 403, 422))
def list_audit(
    key: AdminKey, session: ReadSession, query: Annotated[AuditQuery, Query()]
) -> AuditList:
    """What admins did, the newest first."""
    page = audit.list_page(session, query.limit, query.cursor, query.action, query.api_key_id)
    return AuditList(items=[AuditEntry.of(row) for row in page.items], next_cursor=page.next_cursor)
