from collections.abc import Iterator
from pathlib import Path

import pytest

from autodistil.errors import InvalidInput
from client import ApiProblem, Client
from client.api import ServiceUnreachable
from tests.stack import Stack

TEACHER = "all-MiniLM-L6-v2"


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    with Client(str(stack.http.base_url), stack.key) as client:
        yield client


def test_a_budget_becomes_a_folder_with_its_receipt(client: Client, tmp_path: Path) -> None:
    seen: list[int] = []
    request = {"teacher": TEACHER, "budget": {"macs": "40M"}}
    done = client.extract(request, tmp_path / "out", lambda job: seen.append(job["percent"]))
    assert seen == sorted(seen)
    assert seen[-1] == 100
    names = {path.relative_to(tmp_path / "out").as_posix() for path in files(tmp_path / "out")}
    assert names == {*done["receipt"]["files"], "receipt.json"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    with pytest.raises(InvalidInput, match="not empty"):
        client.extract(request, tmp_path / "out")


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_problem_of_the_service_is_raised_whole(client: Client, tmp_path: Path) -> None:
    with pytest.raises(ApiProblem) as refused:
        client.extract({"teacher": TEACHER, "budget": {"macs": 1}}, tmp_path / "out")
    assert refused.value.kind == "infeasible-budget"
    assert refused.value.problem()["binding_limit"] == "macs"
    assert not list(tmp_path.iterdir())


def test_a_download_that_arrives_damaged_is_not_kept(
    client: Client, stack: Stack, tmp_path: Path
) -> None:
    (artifact,) = stack.wait(stack.ask({"macs": "40M"})["id"])["artifacts"]
    with pytest.raises(ServiceUnreachable, match="damaged"):
        client.download({**artifact, "sha256": "0" * 64}, tmp_path / "a.tar.gz")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://[", "ftp://x", "", "nothing"])
def test_a_service_that_is_not_there_is_said_to_be(url: str) -> None:
    with pytest.raises((ServiceUnreachable, InvalidInput)), Client(url, "key") as client:
        client.superlms()


def test_a_key_that_no_header_can_hold_is_refused() -> None:
    with pytest.raises(InvalidInput):
        Client("http://127.0.0.1:9", "ключ")
