"""`autodistil request` against the running service."""

import json
from pathlib import Path

import pytest

from autodistil.errors import AutoDistilError
from tests.cli.test_device import run
from tests.stack import Stack


@pytest.fixture(autouse=True)
def environment(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTODISTIL_URL", str(stack.http.base_url))
    monkeypatch.setenv("AUTODISTIL_API_KEY", stack.key)


def test_a_student_is_asked_for_and_unpacked(tmp_path: Path) -> None:
    limits = ["--teacher", "all-MiniLM-L6-v2", "--macs", "43M", "--params", "40%"]
    done = run("request", *limits, "--out", tmp_path / "a")
    assert done.stdout.startswith(f"student       {tmp_path / 'a'}")
    assert done.stderr == ""
    assert (tmp_path / "a" / "model.safetensors").is_file()
    again = run("request", *limits, "--out", tmp_path / "b", "--json")
    extraction = json.loads(again.stdout)
    assert extraction["state"] == "succeeded"
    receipt = json.loads((tmp_path / "b" / "receipt.json").read_text())
    assert extraction["receipt"] == receipt
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_budget_that_cannot_be_met_ends_with_3_and_the_problem_of_the_service(
    tmp_path: Path,
) -> None:
    call = ["request", "--teacher", "all-MiniLM-L6-v2", "--macs", "1", "--out", tmp_path / "a"]
    line = run(*call, status=3).stderr
    assert line.startswith("autodistil: ")
    assert line.count("\n") == 1
    problem = json.loads(run(*call, "--json", status=3).stderr)
    assert (problem["status"], problem["binding_limit"]) == (422, "macs")
    assert list(tmp_path.iterdir()) == []


def test_wrong_calls_end_with_2_and_refusals_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = ["--macs", "43M", "--out", tmp_path / "a"]
    assert (
        "no SuperLM of the teacher 'x'" in run("request", "--teacher", "x", *out, status=2).stderr
    )
    assert "teacher" in run("request", *out, status=2).stderr
    monkeypatch.setenv("AUTODISTIL_API_KEY", "wrong")
    problem = json.loads(run("request", "--teacher", "x", *out, "--json", status=1).stderr)
    assert problem["status"] == 401
    monkeypatch.setenv("AUTODISTIL_URL", "http://127.0.0.1:9")
    problem = json.loads(run("request", "--teacher", "x", *out, "--json", status=1).stderr)
    assert set(problem) == set(AutoDistilError("").problem())
    assert problem["type"] == "unreachable"
    assert list(tmp_path.iterdir()) == []


def test_a_student_that_takes_longer_than_one_waits_is_no_success(
    stack: Stack, tmp_path: Path
) -> None:
    busy = stack.ask({"macs": "97M"})
    with stack.stopped_worker(busy["id"]):
        call = ["request", "--teacher", "all-MiniLM-L6-v2", "--macs", "98M", "--timeout", "0.5"]
        stopped = run(*call, "--out", tmp_path / "a", status=1)
    assert "has not ended after 0.5 s; it goes on" in stopped.stderr
    assert list(tmp_path.iterdir()) == []
