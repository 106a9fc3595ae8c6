"""Every type of problem has a page that its `type` leads to, and every page a type."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from fastapi.testclient import TestClient

from autodistil.errors import AutoDistilError
from service.app import create_app
from service.problem_types import PROBLEM_TYPES
from service.problems import problem_object
from worker.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "problems"
HEAD = re.compile(r"# (?P<title>.+)\n`(?P<type>[a-z-]+)` · HTTP (?P<status>\d+)\n\n")
# The command line and the client report theirs to whoever runs them, not over HTTP.
PACKAGES = ("autodistil", "models_store", "database", "worker", "service")


class Kind(NamedTuple):
    """A type of problem, from its class."""

    type: str
    title: str
    status: int


def kinds() -> Iterator[Kind]:
    """Every type in the source: classes that nothing imports would be missing among subclasses."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    values = {name: value for item in node.body for name, value in assigned(item)}
                    if {"type", "title", "status"} <= values.keys():
                        yield Kind(*(values[name] for name in Kind._fields))


def assigned(node: ast.stmt) -> Iterator[tuple[str, object]]:
    if isinstance(node, ast.Assign):
        targets, value = node.targets, node.value
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        targets, value = [node.target], node.value
    else:
        return
    for target in targets:
        if isinstance(target, ast.Name) and isinstance(value, ast.Constant):
            yield target.id, value.value


KINDS = sorted(set(kinds()))


@pytest.fixture(scope="module")
def http() -> TestClient:
    settings = Settings(database_url="sqlite://", broker_url="redis://127.0.0.1:9/0")
    return TestClient(create_app(settings))  # without its lifespan: no sweeper


def test_the_types_that_are_imported_are_among_those_of_the_source() -> None:
    found = {kind.type for kind in KINDS}
    loaded = list(AutoDistilError.__subclasses__())
    for kind in loaded:
        loaded += kind.__subclasses__()
        if kind.__module__.partition(".")[0] in PACKAGES:
            assert kind.type in found, kind
    assert len(found) > 25
    assert len(KINDS) == len(found), "two classes share a type"


@pytest.mark.parametrize("kind", KINDS, ids=[kind.type for kind in KINDS])
def test_every_type_leads_to_its_page(http: TestClient, kind: Kind) -> None:
    uri = problem_object({"type": kind.type})["type"]
    assert uri == PROBLEM_TYPES + kind.type
    page = http.get(uri)
    assert page.status_code == 200, "write docs/problems/<type>.md and list it in index.md"
    assert page.headers["content-type"] == "text/plain; charset=utf-8"
    head = HEAD.match(page.text)
    assert head, page.text[:100]
    assert (head["type"], head["title"], int(head["status"])) == kind
    assert len(page.text.partition("## What to do")[2].split()) > 4


def test_every_page_is_of_a_type_and_in_the_index(http: TestClient) -> None:
    pages = {path.stem for path in PAGES.glob("*.md")} - {"index"}
    assert pages == {kind.type for kind in KINDS}
    index = http.get("/problems").text
    for kind in KINDS:
        assert f"| [`{kind.type}`]({kind.type}.md) | {kind.status} | {kind.title} |" in index


def test_another_name_is_not_found(http: TestClient) -> None:
    for name in ("nothing", "..%2F..%2FREADME", "..", "index.md", "%00"):
        answer = http.get(f"/problems/{name}")
        assert answer.status_code in (404, 422), name
        assert answer.headers["content-type"] == "application/problem+json"


def test_http_errors_are_problems_too(http: TestClient) -> None:
    missing = http.get("/nothing")
    assert (missing.status_code, missing.json()["type"]) == (404, "/problems/not-found")
    wrong = http.put("/healthz")
    assert (wrong.status_code, wrong.json()["type"]) == (405, "/problems/method-not-allowed")
    assert wrong.headers["allow"] == "GET"


def test_the_methods_of_a_path_are_those_of_all_its_routes(http: TestClient) -> None:
    answers = [http.options(path) for path in ("/v1/extractions", "/v1/admin/api-keys/x")]
    assert [answer.status_code for answer in answers] == [405, 405]
    assert [answer.headers["allow"] for answer in answers] == ["GET, POST", "DELETE, GET"]
    assert set(http.put("/docs").headers["allow"].split(", ")) == {"GET", "HEAD"}
