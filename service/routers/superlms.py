"""The catalogue of SuperLMs, and plans over it."""

from typing import Annotated

from fastapi import APIRouter, Path

from database import superlms
from service.dependencies import ExtractKey, PartsDep, ReadSession
from service.problems import responses
from service.schemas import Plan, PlanRequest, SuperLMDetail, SuperLMList, SuperLMSummary

router = APIRouter(prefix="/v1", tags=["superlms"])


@router.get("/superlms", operation_id="list_superlms", responses=responses(401, 403))
def list_superlms(key: ExtractKey, session: ReadSession) -> SuperLMList:
    """Every registered SuperLM with the range of what its students cost."""
    return SuperLMList(items=[SuperLMSummary.of(row) for row in superlms.list_all(session)])


@router.get("/superlms/{reference}", operation_id="get_superlm", responses=responses(401, 403, 404))
def get_superlm(
    reference: Annotated[str, Path(max_length=80, pattern=r"^[a-z0-9][a-z0-9._@-]*$")],
    key: ExtractKey,
    session: ReadSession,
) -> SuperLMDetail:
    """A SuperLM with all its students, by `name`, `name@latest`, or `name@version`."""
    return SuperLMDetail.of(superlms.get(session, reference))


@router.post("/plans", operation_id="plan_extraction", responses=responses(401, 403, 422))
def plan_extraction(
    body: PlanRequest, key: ExtractKey, parts: PartsDep, session: ReadSession
) -> Plan:
    """What an extraction would choose, without a job."""
    rows = superlms.resolve(session, body.teacher, body.superlm)
    return Plan.of(parts.catalogue.plan(rows, body.budget))
