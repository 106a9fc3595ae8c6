"""Extractions: ask for a student, follow the job, stop it."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from database import extraction_list, extractions, followers
from database.session import reading
from database.tables import TERMINAL
from service.acceptance import accept, send
from service.dependencies import ExtractKey, FoundExtraction, Parts, PartsDep, ReadSession
from service.idempotency import REPLAYED, IdempotencyKey
from service.preferences import WaitSeconds, applied
from service.problems import responses
from service.schemas.extraction_list import ExtractionList, ExtractionQuery
from service.schemas.extractions import Extraction, ExtractionId, ExtractionRequest
from service.waiting import wait_for_end

router = APIRouter(prefix="/v1/extractions", tags=["extractions"])


@router.post(
    "",
    status_code=202,
    operation_id="create_extraction",
    responses={
        200: {"model": Extraction, "description": "The job has ended already"},
        **responses(401, 403, 413, 422, 429),
    },
)
async def create_extraction(
    body: ExtractionRequest,
    key: ExtractKey,
    parts: PartsDep,
    wait: WaitSeconds,
    request: Request,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Extraction:
    """Ask for the best student within a budget.

    A budget that no student meets is refused at once. Otherwise the job is queued; follow its
    `events`, or poll the `Location` until its state is `succeeded`, `failed`, or `canceled`. Equal
    requests share one search: a result that is known is given at once, with the status 200.

    A limit on latency sends the job to a worker on the device named, which measures the student
    before it hands it over. With text, the worker scores the best students anew on it before it
    chooses.
    """
    accepted = await run_in_threadpool(accept, parts, body, key, idempotency_key)
    extraction = Extraction.of(accepted.row)
    if wait is not None and extraction.state not in TERMINAL:
        await wait_for_end(parts.watcher, request, extraction.id, wait)
        extraction = await run_in_threadpool(_read, parts, extraction.id)
    response.status_code = 200 if extraction.state in TERMINAL else 202
    response.headers["Location"] = f"/v1/extractions/{extraction.id}"
    response.headers.update(applied(wait) | (REPLAYED if accepted.replayed else {}))
    return extraction


@router.get("", operation_id="list_extractions", responses=responses(401, 403, 422, 429))
def list_extractions(
    key: ExtractKey, session: ReadSession, query: Annotated[ExtractionQuery, Query()]
) -> ExtractionList:
    """Extractions, the newest first."""
    page = extraction_list.list_page(session, query.limit, query.cursor, query.filters(key.id))
    return ExtractionList(
        items=[Extraction.of(row) for row in page.items], next_cursor=page.next_cursor
    )


@router.get(
    "/{extraction_id}",
    operation_id="get_extraction",
    responses=responses(401, 403, 404, 422, 429),
)
async def get_extraction(
    extraction: FoundExtraction,
    parts: PartsDep,
    wait: WaitSeconds,
    request: Request,
    response: Response,
) -> Extraction:
    """How an extraction stands."""
    if wait is not None and extraction.state not in TERMINAL:
        await wait_for_end(parts.watcher, request, extraction.id, wait)
        extraction = await run_in_threadpool(_read, parts, extraction.id)
    response.headers.update(applied(wait))
    return extraction


@router.post(
    "/{extraction_id}/cancel",
    status_code=202,
    operation_id="cancel_extraction",
    responses=responses(401, 403, 404, 409, 422, 429),
)
def cancel_extraction(extraction_id: ExtractionId, key: ExtractKey, parts: PartsDep) -> Extraction:
    """Stop an extraction; one that a worker is busy with ends at its next step.

    One that shares its search with others leaves it to them.
    """
    with parts.sessions.begin() as session:
        row = extractions.request_cancel(session, extraction_id)
        heir = followers.unsent_leader(session, row.fingerprint) if row.fingerprint else None
    if heir is not None:
        send(parts, heir, row.device)
    return Extraction.of(row)


def _read(parts: Parts, extraction_id: str) -> Extraction:
    with reading(parts.sessions) as session:
        return Extraction.of(extractions.get(session, extraction_id))
