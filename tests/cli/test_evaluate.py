import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from autodistil.errors import InvalidInput
from cli.main import app
from tests.factories import write_teacher

QUICK = ["--seeds", "2", "--epochs", "1", "--max-examples", "8", "--batch", "4", "--threads", "1"]


def run(*arguments: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "evaluate", *map(str, arguments)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_teacher(folder / "large")
    write_teacher(folder / "small", hidden_size=32, intermediate_size=64, num_hidden_layers=2)
    (folder / "small" / "receipt.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("glue")
    for split in ("train", "dev"):
        (folder / "CoLA").mkdir(exist_ok=True)
        (folder / "CoLA" / f"{split}.tsv").write_text(
            "".join(f"s\t{i % 2}\t\tba be {'bi' if i % 2 else 'bo'}\n" for i in range(12))
        )
        (folder / "STS-B").mkdir(exist_ok=True)
        (folder / "STS-B" / f"{split}.tsv").write_text(
            "sentence1\tsentence2\tscore\nba be\tba be\t5\nba\tzo zo\t1\nzu\tmi ma\t0.5\n"
        )
    return folder


def test_models_are_compared_and_an_interrupted_evaluation_goes_on(
    models: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "scores.json"
    command: list[str | Path] = [
        *(models / "large", f"student={models / 'small'}", "--reference", "large"),
        *("--tasks", "stsb-zero-shot,cola", "--data", data, "--out", out, *QUICK, "--json"),
    ]
    pictures = ["--markdown", tmp_path / "table.md", "--plot", tmp_path / "plot.svg"]
    first = json.loads(run(*command, *pictures).stdout)
    rows = json.loads(out.read_text())["scores"]
    assert [(row["model"], row["task"], row["seed"]) for row in rows] == [
        (name, *task)
        for name in ("large", "student")
        for task in (("stsb-zero-shot", None), ("cola", 0), ("cola", 1))
    ]
    assert [path.name for path in out.parent.iterdir()] == ["scores.json"]

    # As after a kill: one score is not there yet. The others are taken as they are.
    kept = [{**row, "score": 0.125} for row in rows[:-1]]
    out.write_text(json.dumps({"scores": kept}))
    second = json.loads(run(*command).stdout)
    assert [score["score"] for score in second["scores"][:-1]] == [0.125] * 5
    repeated, known = second["scores"][-1], first["scores"][-1]
    assert repeated["details"].pop("seconds") > 0
    assert known["details"].pop("seconds") > 0
    assert repeated == known
    assert len(json.loads(out.read_text())["scores"]) == 6

    header, _, large, student = (tmp_path / "table.md").read_text().splitlines()
    assert "| stsb-zero-shot | cola | average |" in header
    # 4 layers x (4 n h h + 2 n n h + 2 n h f) for n = 128, h = 64, f = 256.
    assert large.startswith("| large | 33,554,432 | ")
    assert "| 100.0% | 100.0% |" in large
    assert "| 4,194,304 | 31,104 | 12.5% |" in student
    assert student.count(" ± ") == 1
    assert "<!-- student -->" in (tmp_path / "plot.svg").read_text()


def invoke(*arguments: str | Path) -> Result:
    """The command in this process: a wrong call need not load torch again."""
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_other_data_are_scored_anew(models: Path, data: Path, tmp_path: Path) -> None:
    out, folder = tmp_path / "scores.json", tmp_path / "data"
    folder.mkdir()
    dev = (data / "STS-B" / "dev.tsv").read_text()
    for change, known in (("", 1), ("ba bo\tzo\t3\n", 2), ("", 2)):
        (folder / "dev.tsv").write_text(dev + change)
        done = invoke(models / "small", "--data", folder, "--out", out, "--threads", "1")
        assert done.exit_code == 0
        assert "stsb-zero-shot" in done.stdout
        row = next(line for line in done.stdout.splitlines() if line.startswith("│"))
        assert row.split("│")[1].strip() == "small"
        assert len(json.loads(out.read_text())["scores"]) == known


WRONG = [
    (["SMALL", "SMALL"], "Two models are called 'small'"),
    (["SMALL", "--reference", "big"], "the models are small"),
    (["SMALL", "--tasks", "stsb,glue"], "'glue' is no task"),
    (["SMALL", "--tasks", "rte"], "No RTE here"),
    (["SMALL", "--epochs", "0"], "The recipe: epochs"),
    (["SMALL", "--precision", "fp8"], "The recipe: precision"),
    (["SMALL", "--plot", "plot.gif"], ".png or .svg"),
    (["/nowhere"], "no model that transformers can load"),
]


@pytest.mark.parametrize(("arguments", "reason"), WRONG)
def test_a_wrong_call_is_refused_before_anything_is_scored(
    arguments: list[str], reason: str, models: Path, data: Path, tmp_path: Path
) -> None:
    words = [str(models / "small") if word == "SMALL" else word for word in arguments]
    done = invoke(*words, "--data", data, "--out", tmp_path / "scores.json")
    assert isinstance(done.exception, InvalidInput)
    assert reason in done.exception.detail
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["{", "[]", '{"scores": [{}]}', '{"scores": 3}'])
def test_a_file_of_something_else_is_left_as_it_is(
    content: str, models: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores.json"
    out.write_text(content)
    done = invoke(models / "small", "--data", data, "--out", out)
    assert isinstance(done.exception, InvalidInput)
    assert str(out) in done.exception.detail
    assert out.read_text() == content
