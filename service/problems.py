"""Every error as RFC 9457 `application/problem+json`, in one place."""

import copy
import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import compile_path

from autodistil.errors import AutoDistilError
from database.errors import NotFound
from service.problem_types import (
    PROBLEM_TYPES,
    InvalidRequest,
    MethodNotAllowed,
    TooLarge,
    Unavailable,
)
from service.rate_limits import headers_of

log = logging.getLogger(__name__)

PROBLEM_MEDIA_TYPE = "application/problem+json"


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


def answer(
    error: AutoDistilError, headers: Mapping[str, str] | None = None, status: int | None = None
) -> Response:
    """An answer that carries a problem.

    Args:
        error: The problem.
        headers: Further headers.
        status: Another than the error's own.
    """
    content = problem_object(error.problem()) | ({"status": status} if status else {})
    all_headers = dict(headers or {})
    if error.status == 401:
        all_headers["WWW-Authenticate"] = "Bearer"
    if "retry_after" in error.members:
        all_headers["Retry-After"] = str(error.members["retry_after"])
    return JSONResponse(
        content,
        status_code=content["status"],
        headers=all_headers,
        media_type=PROBLEM_MEDIA_TYPE,
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
    return answer(error)


async def _invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    errors = [
        {"where": ".".join(str(part) for part in item["loc"]), "what": item["msg"]}
        for item in error.errors()
    ]
    detail = "; ".join(f"{e['where']}: {e['what']}" for e in errors[:3])
    return answer(InvalidRequest(detail, errors=errors[:20]))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    kinds = {404: NotFound, 405: MethodNotAllowed, 413: TooLarge, 503: Unavailable}
    kind = kinds.get(error.status_code, InvalidRequest)
    if kind is MethodNotAllowed and (allowed := _methods_of(request)):
        detail = f"{request.method} is none of the methods of this path: {allowed}."
        return answer(MethodNotAllowed(detail), {"Allow": allowed})
    # 400 is of a body that is no text; one that is no JSON gets 422, too.
    status = None if error.status_code == 400 else error.status_code
    return answer(kind(str(error.detail)), error.headers, status)


def _methods_of(request: Request) -> str:
    """The methods of a path; Starlette knows only those of the first route that has it."""
    paths, path = request.app.openapi()["paths"], request.url.path
    known = [path] if path in paths else [p for p in paths if compile_path(p)[0].match(path)]
    return ", ".join(sorted({method.upper() for name in known for method in paths[name]}))


async def _database_away(request: Request, error: Exception) -> Response:
    log.error("database: %s", error)
    return answer(
        Unavailable("The database does not answer. Try again in a few seconds.", retry_after=5)
    )


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return answer(
        AutoDistilError("The request failed unexpectedly; the service's log has the reason."),
        headers_of(request.scope),
    )


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI descriptions of the problems that an operation answers with, by their status.

    What every operation may answer with is added in `service.openapi`.
    """
    descriptions = {
        400: "The request broke off",
        401: "No valid API key",
        403: "The API key lacks the scope",
        404: "Not found",
        406: "No such representation",
        409: "The request conflicts with what is there",
        410: "No longer stored",
        412: "A condition of the request does not hold",
        413: "The request is too large",
        415: "A body of this type is not taken",
        416: "No such range",
        422: "The request is not valid, or cannot be met",
        429: "Too many requests, or the day's extractions are used up",
        503: "A part of the service is away",
    }
    content = {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": descriptions[status], "content": copy.deepcopy(content)}
        for status in sorted(set(statuses))
    }
