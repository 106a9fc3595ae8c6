"""Latency on the command line, with real measuring of a few students."""

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from autodistil.latency.device_profile import DeviceProfile, read_profile
from autodistil.latency.machine import Machine
from cli.main import main
from tests.autodistil.latency.test_device_profile import made_up_profile


class Done(NamedTuple):
    """What a command printed."""

    stdout: str
    stderr: str


def run(*arguments: str | Path, status: int = 0) -> Done:
    """Run the command line in this process, which has torch loaded already."""
    out, error = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(error),
        pytest.raises(SystemExit) as ended,
    ):
        patch.setattr(sys, "argv", ["autodistil", *map(str, arguments)])
        main()
    assert (ended.value.code or 0) == status, error.getvalue()
    return Done(out.getvalue(), error.getvalue())


CONDITIONS = "sequence_length=8,threads=1"
QUICK = ["--students", "6", "--rounds", "2", "--runs", "2", "--conditions", CONDITIONS]


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile of this machine, measured by the command."""
    path = tmp_path_factory.mktemp("device") / "here.json"
    run("device", "profile", "--name", "this-box", *QUICK, "--out", path)
    return path


def test_this_machine_is_profiled_into_a_file(profile: Path) -> None:
    content = read_profile(profile)
    assert content.name == "this-box"
    assert len(content.profiled[0].samples) == 6
    assert content.profiled[0].conditions.sequence_length == 8
    listed = json.loads(run("device", "list", profile, "--json").stdout)
    assert listed == [content.summary()]
    assert "batch 1 x 8 tokens, torch float32, 1 thread" in run("device", "list", profile).stdout


def test_search_and_extract_keep_a_latency_limit_on_this_machine(
    profile: Path, tmp_path: Path
) -> None:
    limit = ["--latency", "100s", "--device", profile, "--conditions", CONDITIONS]
    found = json.loads(run("search", *limit, "--macs", "60M", "--json").stdout)
    assert found["limits"] == {"macs": 60_000_000, "latency": 1e5}
    assert found["choice"]["latency_ms"] > 0
    assert "latency ms" in run("search", *limit).stdout
    done = run("extract", *limit, "--macs", "60M", "--out", tmp_path / "s")
    assert "latency       p90 at most 100000 ms on this-box" in done.stdout
    assert "measured    p50" in done.stdout
    receipt = json.loads((tmp_path / "s" / "receipt.json").read_text())
    assert receipt["latency"]["measured"]["p90_ms"] < 1e5
    assert receipt["architecture"]["hidden"] == found["choice"]["hidden"]


def test_a_student_for_another_machine_is_not_measured_here(profile: Path, tmp_path: Path) -> None:
    other = read_profile(profile)
    machine = Machine(cpu="another", cores=64, system="", versions={})
    path = tmp_path / "other.json"
    path.write_text(other.model_copy(update={"machine": machine}).model_dump_json())
    limit = ["--latency", "100s", "--device", path, "--conditions", CONDITIONS]
    out = run("extract", *limit, "--macs", "60M", "--out", tmp_path / "s").stdout
    assert "not measured: this machine is not the device" in out


def test_a_limit_that_no_student_keeps_is_refused_with_the_least_possible(profile: Path) -> None:
    limit = ["--latency", "0.0001ms", "--device", profile, "--conditions", CONDITIONS]
    assert "latency at most 0.0001 ms" in run("search", *limit, status=3).stderr
    problem = json.loads(run("search", *limit, "--json", status=3).stderr)
    assert problem["binding_limit"] == "latency"
    unknown = run("search", *limit[:-1], "batch_size=9", status=3).stderr
    assert "has no latency profile for batch 9 x 128 tokens" in unknown
    assert "it has: batch 1 x 8 tokens" in unknown


WRONG = [
    (["search", "--latency", "5ms"], 3, "names no device"),
    (["search", "--latency", "5 min", "--device", "x.json"], 2, "cannot be read"),
    (["search", "--latency", "-5ms", "--device", "good.json"], 2, "is no time"),
    (["search", "--latency", "5parsec", "--device", "good.json"], 2, "is no time"),
    (["search", "--latency", "0ms", "--device", "good.json"], 2, "latency.ms"),
    (["search", "--latency", "5ms", "--device", "bad.json"], 2, "no device profile"),
    (["search", "--macs", "1G", "--device", "good.json"], 2, "give that too"),
    (["search", "--macs", "1G", "--conditions", "threads=1"], 2, "give that too"),
    (
        ["search", "--latency", "5ms", "--device", "good.json", "--conditions", "speed=9"],
        2,
        "KEY is one of batch_size",
    ),
    (
        ["search", "--latency", "5ms", "--device", "good.json", "--conditions", "threads=two"],
        2,
        "'threads=two' cannot be read",
    ),
    (
        ["search", "--latency", "5ms", "--device", "good.json", "--conditions", "dtype=float8"],
        2,
        "latency.dtype",
    ),
    (["device", "profile", "--name", "a/b", "--out", "x"], 2, "should match pattern"),
    (["device", "profile", "--name", "a", "--out", "x", "--students", "2"], 2, "students"),
    (
        ["device", "profile", "--name", "a", "--out", "x", "--conditions", "percentile=50"],
        2,
        "KEY is one of",
    ),
    (
        ["device", "profile", "--name", "a", "--out", "x", "--conditions", "dtype=int2"],
        2,
        "conditions.0.dtype",
    ),
    (
        ["device", "profile", "--name", "a", "--out", "x", "--conditions", "sequence_length=4000"],
        2,
        "more than the 512 positions",
    ),
    (["device", "profile", "--name", "a"], 2, "AUTODISTIL_API_KEY"),
    (["device", "list"], 2, "AUTODISTIL_API_KEY"),
    (["device", "list", "bad.json"], 2, "no device profile"),
    (["request", "--out", "x", "--teacher", "t", "--device", "d"], 2, "AUTODISTIL_API_KEY"),
]


@pytest.mark.parametrize(
    ("arguments", "status", "reason"), WRONG, ids=lambda value: str(value)[:70]
)
def test_a_wrong_call_says_in_one_line_what_is_wrong(
    arguments: list[str],
    status: int,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AUTODISTIL_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.json").write_text(made_up_profile().model_dump_json())
    (tmp_path / "bad.json").write_text('{"name": 5}')
    before = sorted(tmp_path.iterdir())
    done = run(*arguments, status=status)
    assert reason in done.stderr
    assert done.stdout == ""
    assert sorted(tmp_path.iterdir()) == before


def test_a_profile_is_what_its_schema_says(profile: Path) -> None:
    schema = DeviceProfile.model_json_schema()
    assert schema["required"] == [name for name in schema["properties"] if name != "format"]
    assert set(json.loads(profile.read_text())) == set(schema["properties"])
