"""Extractions: ask for a student, follow the job, stop it."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from autodistil.selection.on_text import read_sentences
from database import devices, extractions, superlms
from database.session import reading
from database.tables import State
from models_store.texts import put_text
from service.dependencies import ExtractKey, PartsDep, ReadSession, WriteSession
from service.problems import responses
from service.schemas.extractions import Extraction, ExtractionList, ExtractionRequest, TextReference
from worker.domain import check_teachers
from worker.queue import send_extraction

router = APIRouter(prefix="/v1/extractions", tags=["extractions"])

ExtractionId = Annotated[str, Path(pattern=r"^[0-9a-f-]{36}$")]


@router.post(
    "", status_code=202, operation_id="create_extraction", responses=responses(401, 403, 422)
)
def create_extraction(
    body: ExtractionRequest, key: ExtractKey, parts: PartsDep, response: Response
) -> Extraction:
    """Ask for the best student within a budget.

    A budget that no student meets is refused at once. Otherwise the job is queued; poll the
    `Location` until its state is `succeeded`, `failed`, or `canceled`. A limit on latency sends it
    to a worker on the device named, which measures the student before it hands it over. With text,
    the worker scores the best students anew on it before it chooses.
    """
    with reading(parts.sessions) as session:
        rows = superlms.resolve(session, body.teacher, body.superlm)
        parts.catalogue.plan(rows, body.budget, devices.profiles_for(session, body.budget))
    request = body.model_dump(mode="json", exclude_none=True)
    if body.text is not None:
        check_teachers(parts.settings.teachers, {row.spec["teacher"]["name"] for row in rows})
        sentences = read_sentences(body.text, parts.settings.max_text_characters)
        # The hash stands in the request, so that other text is another request.
        request["text"] = TextReference(
            sha256=put_text(parts.store, sentences),
            sentences=len(sentences),
            characters=sum(map(len, sentences)),
        ).model_dump()
    with parts.sessions.begin() as session:
        row = extractions.create(session, request, key.id)
        session.flush()
        session.refresh(row)
    # After the commit: a message about a row that nobody can see yet would be dropped.
    device = body.budget.latency.device if body.budget.latency else None
    if send_extraction(parts.celery, row.id, device):
        with parts.sessions.begin() as session:
            extractions.mark_sent(session, row.id)
    response.headers["Location"] = f"/v1/extractions/{row.id}"
    return Extraction.of(row)


@router.get("", operation_id="list_extractions", responses=responses(401, 403, 422))
def list_extractions(
    key: ExtractKey,
    session: ReadSession,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(pattern=r"^[0-9a-f-]{36}$")] = None,
    state: State | None = None,
) -> ExtractionList:
    """Extractions, the newest first."""
    rows = extractions.list_page(session, limit + 1, before=cursor, state=state)
    more = len(rows) > limit
    return ExtractionList(
        items=[Extraction.of(row) for row in rows[:limit]],
        next_cursor=rows[limit - 1].id if more else None,
    )


@router.get("/{extraction_id}", operation_id="get_extraction", responses=responses(401, 403, 404))
def get_extraction(
    extraction_id: ExtractionId, key: ExtractKey, session: ReadSession
) -> Extraction:
    """How an extraction stands."""
    return Extraction.of(extractions.get(session, extraction_id))


@router.post(
    "/{extraction_id}/cancel",
    status_code=202,
    operation_id="cancel_extraction",
    responses=responses(401, 403, 404, 409),
)
def cancel_extraction(
    extraction_id: ExtractionId, key: ExtractKey, session: WriteSession
) -> Extraction:
    """Stop an extraction; one that a worker is busy with ends at its next step."""
    return Extraction.of(extractions.request_cancel(session, extraction_id))
