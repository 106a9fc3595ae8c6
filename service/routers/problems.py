"""The pages that the `type` of every problem points to."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import PlainTextResponse

from database.errors import NotFound
from service.problem_types import page_names, read_page
from service.problems import responses

router = APIRouter(prefix="/problems", tags=["problems"])


@router.get("", operation_id="list_problems", response_class=PlainTextResponse)
def list_problems() -> str:
    """All types of problems, as Markdown."""
    return read_page("index")


@router.get(
    "/{name}",
    operation_id="explain_problem",
    response_class=PlainTextResponse,
    responses=responses(404),
)
def explain_problem(
    name: Annotated[str, Path(pattern=r"^[a-z]+(-[a-z]+)*$", examples=["infeasible-budget"])],
) -> str:
    """What a type of problem means, its members, and what to do; as Markdown."""
    if name not in page_names():
        raise NotFound(f"There is no type of problem {name!r}; /problems lists them.")
    return read_page(name)
