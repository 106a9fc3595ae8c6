"""The OpenAPI document: what FastAPI finds in the routes, and what holds for all of them.

Problems, rate limits and links are added here and not at each route, so that none can be forgotten.
"""

import json
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.examples import REQUESTS
from service.problems import PROBLEM_MEDIA_TYPE, Problem
from service.problems import responses as problem_responses

_TAGS: Final = (
    ("extractions", "Ask for a student, follow the job, download the files."),
    ("superlms", "What students can be cut from, what they cost, and what a budget would give."),
    ("devices", "Machines whose latency was measured."),
    ("admin", "SuperLMs, devices, keys and workers; needs the scope `admin`."),
    ("health", "Whether the service works."),
    ("problems", "The pages that the `type` of a problem leads to."),
)
_DESCRIPTION: Final = """
Send an API key as `Authorization: Bearer KEY`. Errors are RFC 9457 problems, whose `type` is the
path of a page of this service. A request that may have arrived is safe to repeat with the same
`Idempotency-Key`.
"""
_LINKED: Final = {
    "create_extraction": {
        "get_extraction": {"extraction_id": "$response.body#/id"},
        "list_events": {"extraction_id": "$response.body#/id"},
        "cancel_extraction": {"extraction_id": "$response.body#/id"},
        "list_deliveries": {"extraction_id": "$response.body#/id"},
        "delete_artifacts": {"extraction_id": "$response.body#/id"},
    },
    "get_extraction": {
        "download_artifact": {
            "extraction_id": "$response.body#/id",
            "name": "$response.body#/artifacts/0/name",
        },
        "describe_artifact": {
            "extraction_id": "$response.body#/id",
            "name": "$response.body#/artifacts/0/name",
        },
    },
    "list_extractions": {
        "get_extraction": {"extraction_id": "$response.body#/items/0/id"},
    },
    "list_superlms": {
        "get_superlm": {"reference": "$response.body#/items/0/superlm"},
        "get_frontier": {"reference": "$response.body#/items/0/superlm"},
    },
    "create_api_key": {"revoke_api_key": {"key_id": "$response.body#/id"}},
    "profile_device": {
        "get_device": {"name": "$response.body#/name"},
        "delete_device": {"name": "$response.body#/name"},
    },
    "register_superlm": {"get_registration": {"registration_id": "$response.body#/id"}},
}
"""What can be done with the answer of an operation, and where in it the parameters are."""

_HEADERS: Final = {
    "RateLimit": ("Requests left (`r`), and seconds until there are more (`t`).", "string"),
    "RateLimit-Policy": ("Requests (`q`) in a window of seconds (`w`).", "string"),
}
_METHODS: Final = ("get", "head", "post", "put", "patch", "delete")

Operation = dict[str, Any]


def install(app: FastAPI) -> None:
    """Have the application answer with the whole document."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's manual says


def render(app: FastAPI) -> str:
    """The document as it stands in docs/openapi.json."""
    return json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n"


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the application."""
    content = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=_DESCRIPTION.strip(),
        routes=app.routes,
        webhooks=app.webhooks.routes,
        tags=[{"name": name, "description": text} for name, text in _TAGS],
        servers=[{"url": "/", "description": "This service"}],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        separate_input_output_schemas=app.separate_input_output_schemas,
    )
    schemas = content["components"]["schemas"]
    schemas["Problem"] = Problem.model_json_schema()
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    operations = {
        operation["operationId"]: (path, operation)
        for path, methods in content["paths"].items()
        for method, operation in methods.items()
        if method in _METHODS
    }
    for path, operation in operations.values():
        _drop_null(operation)
        _add_problems(path, operation)
        _add_headers(path, operation)
    for name, examples in REQUESTS.items():
        _, operation = operations[name]
        operation["requestBody"]["content"]["application/json"]["examples"] = examples
    for source, targets in _LINKED.items():
        _add_links(operations, source, targets)
    for methods in content.get("webhooks", {}).values():
        methods["post"]["responses"].pop("422", None)
    return content


def _drop_null(operation: Operation) -> None:
    """A parameter is left out, and never null: as text, `null` would be a value like any other."""
    for parameter in operation.get("parameters", []):
        schema = parameter["schema"]
        kinds = [kind for kind in schema.pop("anyOf", []) if kind != {"type": "null"}]
        if kinds:
            schema |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds}


def _add_problems(path: str, operation: Operation) -> None:
    """Say what every operation may answer with, whatever it does."""
    responses = operation["responses"]
    statuses = [503]
    if path.startswith("/v1/"):
        statuses += [401, 403, 429]
    if "requestBody" in operation:
        statuses += [413]
    if "422" in responses or "parameters" in operation or "requestBody" in operation:
        statuses += [422]
    for status, response in problem_responses(*statuses).items():
        # 422 is in the document already, with FastAPI's own kind of error; another status that is
        # there is an answer of the operation's own, such as the 503 of /readyz.
        if status == 422 or str(status) not in responses:
            responses[str(status)] = response
    operation["responses"] = {status: responses[status] for status in sorted(responses)}


def _add_headers(path: str, operation: Operation) -> None:
    for status, response in operation["responses"].items():
        headers = response.setdefault("headers", {})
        if path.startswith("/v1/") and status != "401":
            for name, (text, kind) in _HEADERS.items():
                headers[name] = {"description": text, "schema": {"type": kind}}
        if status in ("429", "503") and PROBLEM_MEDIA_TYPE in response.get("content", {}):
            headers["Retry-After"] = {
                "description": "Seconds to wait.",
                "schema": {"type": "integer"},
            }
        if not headers:
            del response["headers"]


def _add_links(
    operations: dict[str, tuple[str, Operation]], source: str, targets: dict[str, Any]
) -> None:
    _, operation = operations[source]
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            response["links"] = {
                target: {"operationId": target, "parameters": parameters}
                for target, parameters in targets.items()
            }
