"""The committed OpenAPI document is that of the code, and good for making clients from."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from service.app import create_app
from service.openapi import render
from tests.stack import Stack
from worker.settings import Settings

OPENAPI = Path(__file__).parents[2] / "docs" / "openapi.json"
DOCUMENT: dict[str, Any] = json.loads(OPENAPI.read_text())
VERBS = re.compile(
    "(cancel|create|delete|deprecate|describe|download|explain|get|list|plan|profile|register"
    "|revoke|set|upload)(_[a-z]+)+"
)


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


BY_ID = {operation["operationId"]: (path, operation) for _, path, operation in operations()}


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with the document's components, so that its references lead somewhere."""
    return {**schema, "components": DOCUMENT["components"]}


def walk(node: Any, trail: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        yield trail, node
        for name, value in node.items():
            yield from walk(value, f"{trail}/{name}")
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from walk(value, f"{trail}/{number}")


def test_the_committed_document_is_that_of_the_code() -> None:
    app = create_app(Settings(database_url="sqlite://"))
    assert OPENAPI.read_text() == render(app), "run: python scripts/openapi.py"


def test_the_settings_of_a_service_do_not_show_in_its_document(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, requests_per_minute=1, development_webhooks=True)
    assert render(create_app(settings)) == render(create_app(Settings(database_url="sqlite://")))


def test_operation_ids_are_verbs_with_what_they_act_on() -> None:
    assert len(BY_ID) == len(list(operations()))
    for name in BY_ID:
        assert VERBS.fullmatch(name), name


def test_every_operation_says_what_it_does_and_belongs_to_a_described_tag() -> None:
    described = {tag["name"] for tag in DOCUMENT["tags"] if tag["description"]}
    for _, path, operation in operations():
        assert operation["description"], path
        assert set(operation["tags"]) <= described, path
    assert described == {tag for _, _, operation in operations() for tag in operation["tags"]}


def test_every_operation_below_v1_needs_a_key_and_lists_the_problems_of_all() -> None:
    (scheme,) = DOCUMENT["components"]["securitySchemes"].values()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for _, path, operation in operations():
        if path.startswith("/v1/"):
            assert operation["security"], path
            assert {"401", "403", "429", "503"} <= operation["responses"].keys(), path
            assert "Retry-After" in operation["responses"]["429"]["headers"]
            for status, answer in operation["responses"].items():
                assert status == "401" or "RateLimit" in answer["headers"], path
        else:
            assert "security" not in operation, path


def test_every_error_is_a_problem() -> None:
    for _, path, operation in operations():
        for status, answer in operation["responses"].items():
            if status[0] in "45" and (path, status) != ("/readyz", "503"):
                (kind,) = answer["content"]
                assert kind == "application/problem+json", (path, status)


def test_no_parameter_is_null_since_it_would_be_sent_as_the_text_null() -> None:
    parameters = [p for _, _, operation in operations() for p in operation.get("parameters", [])]
    assert len(parameters) > 50
    for parameter in parameters:
        assert {"type": "null"} not in parameter["schema"].get("anyOf", []), parameter["name"]
        assert {"type", "anyOf", "$ref", "enum"} & parameter["schema"].keys(), parameter["name"]


def test_every_link_leads_to_an_operation_by_its_parameters() -> None:
    found = 0
    for _, _, operation in operations():
        for answer in operation["responses"].values():
            for link in answer.get("links", {}).values():
                path, target = BY_ID[link["operationId"]]
                known = {parameter["name"] for parameter in target["parameters"]}
                assert link["parameters"].keys() <= known
                assert set(re.findall(r"\{(\w+)\}", path)) == link["parameters"].keys()
                found += 1
    assert found > 10


def test_every_example_is_valid() -> None:
    found = 0
    for trail, node in walk({name: DOCUMENT[name] for name in ("paths", "components")}):
        if "properties" in trail.rsplit("/", 1)[-1:]:
            continue
        schema = node.get("schema", node)
        examples = node.get("examples", [])
        if isinstance(examples, dict):
            examples = [example["value"] for example in examples.values() if "value" in example]
        for example in examples:
            validator = jsonschema_rs.validator_for(resolved(schema), validate_formats=True)
            errors = [error.message for error in validator.iter_errors(example)]
            assert not errors, (trail, errors)
            found += 1
    assert found > 10


@pytest.mark.parametrize("name", ["create_extraction", "plan_extraction"])
def test_every_example_of_a_budget_is_answered(stack: Stack, name: str) -> None:
    path, operation = BY_ID[name]
    examples = operation["requestBody"]["content"]["application/json"]["examples"]
    assert len(examples) >= 2
    for example in examples.values():
        answer = stack.http.post(path, json=example["value"])
        assert answer.status_code in (200, 202), answer.text


def test_the_service_serves_the_document(stack: Stack) -> None:
    assert stack.http.get("/openapi.json").json() == DOCUMENT
    assert "swagger" in stack.http.get("/docs").text
