import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.factories import shipped_narrow

PUBLISHED = [
    # layers, hidden, heads, FFN, then params (M) and MACs (G): paper's counting, exact counting
    ((12, 544, 9, 1632), (50.1, 4.40), (53.6, 4.88)),
    ((11, 352, 8, 1408), (26.1, 2.02), (29.9, 2.60)),
    ((11, 352, 10, 1408), (26.8, 2.13), (31.9, 2.90)),
    ((7, 160, 10, 560), (6.88, 0.27), (9.1, 0.67)),
]


def run(*arguments: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_the_papers_preset_lists_768_students_with_the_published_costs() -> None:
    rows = json.loads(run("space", "--preset", "bert-base-uncased", "--json").stdout)
    assert len(rows) == 768
    for sizes, paper, exact in PUBLISHED:
        (row,) = (
            r for r in rows if (r["layers"], r["hidden"], r["heads"], r["intermediate"]) == sizes
        )
        # The paper cuts 6.8876 to 6.88 where it rounds elsewhere.
        assert abs(row["paper_params"] / 1e6 - paper[0]) < (0.01 if paper[0] < 10 else 0.05)
        assert round(row["paper_macs"] / 1e9, 2) == paper[1]
        assert round(row["params"] / 1e6, 1) == exact[0]
        assert round(row["macs"] / 1e9, 2) == exact[1]


def test_a_student_by_budget_is_the_one_that_search_names(tmp_path: Path) -> None:
    budget = ["--macs", "34M", "--params", "40%"]
    found = json.loads(run("search", *budget, "--json").stdout)
    receipt = json.loads(run("extract", *budget, "--out", tmp_path / "s", "--json").stdout)
    assert receipt["architecture"] == {k: found["choice"][k] for k in receipt["architecture"]}
    assert receipt["cost"]["macs"] <= 34_000_000
    assert json.loads((tmp_path / "s" / "receipt.json").read_text()) == receipt
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
    again = run("extract", *budget, "--out", tmp_path / "s", status=2)
    assert "not empty" in again.stderr

    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dev.tsv").write_text(
        "sentence1\tsentence2\tscore\n"
        "A man plays a guitar.\tSomeone plays guitar.\t4.5\n"
        'He said "no".\tThe market fell.\t0.2\n'
        "A dog runs.\tAn animal is running.\t3.5\n"
    )
    evaluate = ["evaluate", tmp_path / "s", "--data", tmp_path / "data", "--json"]
    (score,) = json.loads(run(*evaluate).stdout)["scores"]
    assert (score["task"], score["metric"]) == ("stsb-zero-shot", "spearman")
    assert score["score"] > 0


def test_a_student_can_be_named(tmp_path: Path) -> None:
    name = "L2-H192-A6x32-F192-V10000"
    bundle = shipped_narrow()
    out = run("extract", bundle, "--architecture", name, "--out", tmp_path / "s").stdout
    assert "2 layers, hidden 192, 6 heads x 32, FFN 192, 10,000 tokens" in out


WRONG = [
    (["search"], 2, "at least one limit"),
    (["search", "--macs", "lots"], 2, "macs"),
    (["search", "--macs", "-1"], 2, ""),
    (["search", "--macs", "1K"], 3, "is the least possible"),
    (["search", "/nowhere", "--macs", "1G"], 1, "no bundle folder"),
    (["extract", "--out", "x", "--architecture", "big"], 2, "is not an architecture"),
    (["extract", "--out", "x", "--architecture", "L9-H64-A2x32-F192"], 2, "is not a student"),
    (["extract", "--macs", "1G"], 2, "--out"),
    (["space"], 2, "--preset or --teacher"),
    (["space", "--preset", "gpt"], 2, "bert-base-uncased"),
    (["space", "--teacher", "/nowhere"], 2, "cannot be read"),
    (["evaluate", "/nowhere", "--data", "/nowhere"], 2, "no model that transformers can load"),
    (["request", "--out", "x", "--macs", "1M", "--teacher", "t"], 2, "AUTODISTIL_API_KEY"),
    (["train", "--teacher", "/no", "--corpus", "/no", "--out", "A B"], 2, "cannot name"),
    (
        ["train", "--teacher", "/no", "--corpus", "/no", "--out", "a", "--tokens", "x"],
        2,
        "--tokens",
    ),
    (["train", "--teacher", "/no", "--corpus", "/no", "--out", "a"], 1, "There is no folder"),
    (["up", "--port", "99999999"], 2, "Cannot listen"),
]


@pytest.mark.parametrize(
    ("arguments", "status", "reason"), WRONG, ids=lambda value: str(value)[:60]
)
def test_a_wrong_call_says_in_one_line_what_is_wrong(
    arguments: list[str], status: int, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUTODISTIL_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    done = run(*arguments, status=status)
    assert reason in done.stderr
    assert done.stdout == ""
    assert not list(tmp_path.iterdir())


def test_with_json_an_error_is_the_problem_object() -> None:
    problem = json.loads(run("search", "--macs", "1K", "--json", status=3).stderr)
    assert (problem["type"], problem["status"]) == ("infeasible-budget", 422)
    assert problem["nearest_student"]["hidden"] == 192
