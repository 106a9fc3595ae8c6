"""Both clients against the running service."""

import asyncio
import hashlib
import inspect
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autodistil.errors import InvalidInput
from client import ApiProblem, AsyncClient, Client, Event, NotEndedInTime
from client.admin import Admin
from client.async_admin import AsyncAdmin
from tests.factories import shipped_narrow
from tests.stack import Stack

TEACHER = "all-MiniLM-L6-v2"


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    with Client(str(stack.http.base_url), stack.key) as client:
        yield client


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_budget_becomes_a_folder_with_its_receipt(
    client: Client, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    events: list[Event] = []
    student = client.extract(
        {"macs": "40500000"}, tmp_path / "out", events.append, teacher=TEACHER, progress=True
    )
    percents = [event["percent"] for event in events]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert student.folder == tmp_path / "out"
    assert files(student.folder) == {*student.receipt["files"], "receipt.json"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    drawn = capfd.readouterr()
    assert drawn.out == ""
    assert "student" in drawn.err
    assert re.search(r"download .*100%", drawn.err)
    with pytest.raises(InvalidInput, match="not empty"):
        client.extract({"macs": "40M"}, tmp_path / "out", teacher=TEACHER)


def test_a_result_that_is_known_comes_without_events_and_without_a_bar(
    client: Client, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    request = {"teacher": TEACHER, "budget": {"macs": "41500000"}}
    events: list[Event] = []
    first = client.extract(request, tmp_path / "a")
    again = client.extract(request, str(tmp_path / "b"), events.append)
    assert again.extraction["id"] != first.extraction["id"]
    assert again.receipt == first.receipt
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert events == []
    assert capfd.readouterr().err == ""  # it is no terminal


def test_the_asynchronous_client_does_the_same(stack: Stack, tmp_path: Path) -> None:
    async def use() -> None:
        async with AsyncClient(str(stack.http.base_url), stack.key) as client:
            students = await asyncio.gather(
                *(
                    client.extract({"macs": macs}, tmp_path / str(macs), superlm="minilm-l6-narrow")
                    for macs in (42_100_000, 42_200_000)
                )
            )
            for student in students:
                assert files(student.folder) == {*student.receipt["files"], "receipt.json"}
            ids = [student.extraction["id"] for student in students]
            listed = [job["id"] async for job in client.list_extractions(limit=1, mine=True)]
            assert set(ids) <= set(listed)
            assert listed == sorted(set(listed), reverse=True)
            events = [event async for event in client.events(ids[0])]
            assert events[-1]["kind"] == "succeeded"
            assert (await client.wait(ids[0]))["id"] == ids[0]
            await client.delete_artifacts(ids[0])
            await client.delete_artifacts(ids[0])
            with pytest.raises(ApiProblem) as gone:
                await client.download(students[0].extraction["artifacts"][0], tmp_path / "gone")
            assert (gone.value.kind, gone.value.status) == ("artifact-gone", 410)
            assert [item["name"] for item in await client.superlms()]
            assert [one["scopes"] async for one in client.admin.api_keys()]

    asyncio.run(use())


def test_the_catalogue_is_read(client: Client) -> None:
    names = {item["name"] for item in client.superlms()}
    assert "minilm-l6-narrow" in names
    detail = client.superlm("minilm-l6-narrow")
    front = client.frontier("minilm-l6-narrow", x="params", score="loss")["items"]
    assert detail["name"] == "minilm-l6-narrow"
    params = [row["params"] for row in front]
    assert params == sorted(params)
    plan = client.plan({"teacher": TEACHER, "budget": {"macs": "40M"}})
    assert plan["choice"]["macs"] <= 40_000_000
    assert isinstance(client.devices(), list)


def test_a_problem_of_the_service_is_raised_whole(client: Client, tmp_path: Path) -> None:
    with pytest.raises(ApiProblem) as refused:
        client.extract({"macs": 1}, tmp_path / "out", teacher=TEACHER)
    assert (refused.value.kind, refused.value.status) == ("infeasible-budget", 422)
    assert refused.value.members["binding_limit"] == "macs"
    assert not list(tmp_path.iterdir())


def test_names_cannot_lead_elsewhere(client: Client) -> None:
    for name in ("../superlms", "a/b", "?x=1"):
        with pytest.raises(ApiProblem):
            client.device(name)
    for name in ("", ".", ".."):
        with pytest.raises(InvalidInput):
            client.device(name)


def test_parts_of_a_request_beside_a_whole_one_are_refused(client: Client, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="given whole"):
        client.extract({"budget": {"macs": 1}}, tmp_path / "x", teacher=TEACHER)


def test_a_job_that_is_stopped_is_no_success(client: Client, stack: Stack) -> None:
    job = stack.ask({"macs": "96M"})
    with stack.stopped_worker(job["id"]):
        with pytest.raises(NotEndedInTime, match="not ended after 0.3 s"):
            client.wait(job["id"], timeout=0.3)
        assert client.cancel(job["id"])["state"] == "canceling"
    with pytest.raises(ApiProblem) as canceled:
        client.wait(job["id"])
    assert (canceled.value.kind, canceled.value.status) == ("canceled", 409)


def test_the_environment_says_where_the_service_is(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUTODISTIL_API_KEY", raising=False)
    for kind in (Client, AsyncClient):
        with pytest.raises(InvalidInput, match="AUTODISTIL_API_KEY"):
            kind.from_environment()
    monkeypatch.setenv("AUTODISTIL_API_KEY", stack.key)
    monkeypatch.setenv("AUTODISTIL_URL", str(stack.http.base_url))
    with Client.from_environment() as client:
        assert client.superlms()


def test_an_admin_registers_a_bundle_by_upload_and_retires_it(
    client: Client, tmp_path: Path
) -> None:
    archive = tmp_path / "bundle.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(shipped_narrow(), arcname=".")
    with pytest.raises(InvalidInput, match="has the sha256"):
        client.admin.register_superlm(upload=archive, sha256="0" * 64)
    with pytest.raises(InvalidInput, match="Name one"):
        client.admin.register_superlm(path="/x", url="https://x")
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    begun = client.admin.register_superlm(upload=archive, sha256=sha256)
    ready = client.admin.wait_registration(begun["id"])
    assert ready["state"] == "ready"
    name, _, version = (ready["superlm"] or "").partition("@")
    client.admin.set_alias(name, "proven", int(version))
    assert client.superlm(f"{name}@proven")["version"] == int(version)
    client.admin.delete_alias(name, "proven")
    reference = f"{name}@{version}"
    client.admin.deprecate_superlm(reference, "a test")
    assert client.superlm(reference)["deprecated"] == "a test"
    client.admin.deprecate_superlm(reference, None)
    assert any(entry["subject"] == reference for entry in client.admin.audit())
    assert client.admin.workers()


def test_an_admin_makes_and_revokes_keys(client: Client, stack: Stack) -> None:
    made = client.admin.create_api_key("for a test", ["extract"], requests_per_minute=100)
    with Client(str(stack.http.base_url), made["key"]) as other:
        assert other.superlms()
        with pytest.raises(ApiProblem) as refused:
            other.admin.workers()
        assert refused.value.status == 403
    client.admin.revoke_api_key(made["id"])
    found = {key["id"]: key["revoked_at"] for key in client.admin.api_keys()}
    assert found[made["id"]]


def test_both_clients_can_do_the_same() -> None:
    def methods(kind: type) -> dict[str, Any]:
        return {
            name: [str(parameter) for parameter in inspect.signature(method).parameters.values()]
            for name, method in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_") and name not in ("run", "iterate")
        }

    assert methods(Client) == methods(AsyncClient)
    assert methods(Admin) == methods(AsyncAdmin)
