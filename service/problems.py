"""Every error as RFC 9457 `application/problem+json`, in one place."""

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from autodistil.errors import AutoDistilError

log = logging.getLogger(__name__)

PROBLEM_TYPES = "https://autodistil.dev/problems/"


class Problem(BaseModel):
    """An RFC 9457 problem. Some types have further members, such as `binding_limit`."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str


def problem_object(error: dict[str, Any]) -> dict[str, Any]:
    """A problem of the method or the database with its `type` as a URI."""
    return {**error, "type": PROBLEM_TYPES + error["type"]}


def problem_response(
    type_: str, title: str, status: int, detail: str, headers: dict[str, str] | None = None,
    **members: Any,
) -> Response:  # fmt: skip
    """An answer that carries a problem."""
    return JSONResponse(
        {
            "type": PROBLEM_TYPES + type_,
            "title": title,
            "status": status,
            "detail": detail,
            **members,
        },
        status_code=status,
        headers=headers,
        media_type="application/problem+json",
    )


def install(app: FastAPI) -> None:
    """Answer every error of the application with a problem."""
    app.add_exception_handler(AutoDistilError, _autodistil_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(OperationalError, _database_away)
    app.add_exception_handler(Exception, _unexpected)


async def _autodistil_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AutoDistilError)  # noqa: S101 -- registered for this type only
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    return problem_response(
        error.type, error.title, error.status, error.detail, headers, **error.members
    )


async def _invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    errors = [
        {"where": ".".join(str(part) for part in item["loc"]), "what": item["msg"]}
        for item in error.errors()
    ]
    detail = "; ".join(f"{e['where']}: {e['what']}" for e in errors[:3])
    return problem_response(
        "invalid-request", "The request is not valid", 422, detail, errors=errors[:20]
    )


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    titles = {
        404: ("not-found", "There is nothing here"),
        405: ("method-not-allowed", "No such method here"),
    }
    type_, title = titles.get(error.status_code, ("invalid-request", "The request is not valid"))
    headers = dict(error.headers or {})
    return problem_response(type_, title, error.status_code, str(error.detail), headers)


async def _database_away(request: Request, error: Exception) -> Response:
    log.error("database: %s", error)
    return problem_response(
        "unavailable",
        "The service cannot work right now",
        503,
        "The database does not answer. Try again in a few seconds.",
        {"Retry-After": "5"},
    )


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem_response(
        "internal-error",
        "Something went wrong on our side",
        500,
        "The request failed unexpectedly; the service's log has the reason.",
    )


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI descriptions of the problems that an operation answers with."""
    descriptions: Sequence[tuple[int, str]] = (
        (401, "No valid API key"),
        (403, "The API key lacks the scope"),
        (404, "Not found"),
        (409, "Conflict"),
        (422, "The request or the budget cannot be met"),
        (503, "A part of the service is away"),
    )
    content = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    return {
        status: {"description": text, "content": content}
        for status, text in descriptions
        if status in statuses
    }
