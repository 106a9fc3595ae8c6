"""The catalogue of SuperLMs, and plans over it."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from database import aliases, devices, superlms
from service.dependencies import ExtractKey, PartsDep, ReadSession
from service.problems import responses
from service.schemas.plans import Plan, PlanRequest, Row, SuperLMReference
from service.schemas.superlms import (
    Frontier,
    FrontierQuery,
    SuperLMDetail,
    SuperLMList,
    SuperLMQuery,
    SuperLMSummary,
)

router = APIRouter(prefix="/v1", tags=["superlms"])

Reference = Annotated[
    SuperLMReference,
    Path(description="`name`, `name@latest`, `name@version`, or `name@alias`."),
]


@router.get("/superlms", operation_id="list_superlms", responses=responses(401, 403, 422))
def list_superlms(
    key: ExtractKey, session: ReadSession, query: Annotated[SuperLMQuery, Query()]
) -> SuperLMList:
    """Registered SuperLMs, each with the range of what its students cost, by name and version."""
    page = superlms.list_page(
        session, query.limit, query.after, query.teacher, query.name, query.deprecated
    )
    items = [SuperLMSummary.of(row) for row in page.items]
    return SuperLMList(items=items, next_cursor=page.next_cursor)


@router.get("/superlms/{reference}", operation_id="get_superlm", responses=responses(401, 403, 404))
def get_superlm(reference: Reference, key: ExtractKey, session: ReadSession) -> SuperLMDetail:
    """A SuperLM with all its students; a name alone means its newest that is not deprecated."""
    row = superlms.get(session, reference)
    return SuperLMDetail.describe(row, aliases.of_name(session, row.name))


@router.get(
    "/superlms/{reference}/frontier",
    operation_id="get_frontier",
    responses=responses(401, 403, 404, 422),
)
def get_frontier(
    reference: Reference,
    key: ExtractKey,
    parts: PartsDep,
    session: ReadSession,
    query: Annotated[FrontierQuery, Query()],
) -> Frontier:
    """The students of a SuperLM than which none is both better and cheaper.

    `x=latency` needs a device, and may say under which conditions its latency is predicted.
    """
    row = superlms.get(session, reference)
    budget = query.latency_budget()
    profiles = devices.profiles_for(session, budget) if budget else {}
    front = parts.catalogue.front(row, query.x, query.score, budget, profiles)
    return Frontier(
        superlm=f"{row.name}@{row.version}",
        x=query.x,
        y=query.score,
        items=[Row.of(entry) for entry in front],
    )


@router.post("/plans", operation_id="plan_extraction", responses=responses(401, 403, 422))
def plan_extraction(
    body: PlanRequest, key: ExtractKey, parts: PartsDep, session: ReadSession
) -> Plan:
    """What an extraction would choose, without a job."""
    rows = superlms.resolve(session, body.teacher, body.superlm)
    profiles = devices.profiles_for(session, body.budget)
    return Plan.of(parts.catalogue.plan(rows, body.budget, profiles))
