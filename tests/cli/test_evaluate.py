import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from autodistil.errors import InvalidInput
from cli.main import app
from tests.autodistil.downstream.sentence_folders import add_modules
from tests.factories import WORDS, write_teacher

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
    (["SMALL", "--tasks", "retrieval"], "name it with --reference"),
    (["SMALL", "--tasks", "retrieval", "--reference", "small"], "name files of one sentence"),
    (
        ["SMALL", "--tasks", "retrieval", "--reference", "small", "--sentences", "FEW"],
        "there are 1.",
    ),
    (["SMALL", "--tasks", "probe-rte"], "'probe-rte' is no task"),
]


@pytest.mark.parametrize(("arguments", "reason"), WRONG)
def test_a_wrong_call_is_refused_before_anything_is_scored(
    arguments: list[str], reason: str, models: Path, data: Path, tmp_path: Path
) -> None:
    few = models / "few.txt"
    few.write_text("sentence 10\nsentence 168\n")  # the first one is held out
    named = {"SMALL": str(models / "small"), "FEW": str(few)}
    words = [named.get(word, word) for word in arguments]
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


def test_a_task_of_glue_needs_data(models: Path) -> None:
    done = invoke(models / "small", "--tasks", "probes")
    assert isinstance(done.exception, InvalidInput)
    assert "--data" in done.exception.detail


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 300 held-out sentences of made-up words, and many others."""
    rng = random.Random(0)
    lines = [" ".join(rng.choices(WORDS, k=rng.randint(2, 6))) for _ in range(10_000)]
    path = tmp_path_factory.mktemp("sentences") / "sentences.txt"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def probed(data: Path) -> Path:
    """GLUE's folders of the three probes."""
    for split in ("train", "dev"):
        (data / "SST-2").mkdir(exist_ok=True)
        (data / "SST-2" / f"{split}.tsv").write_text(
            "sentence\tlabel\n"
            + "".join(f"ba {'bi' if i % 2 else 'bo'}\t{i % 2}\n" for i in range(20))
        )
        (data / "MRPC").mkdir(exist_ok=True)
        (data / "MRPC" / f"{split}.tsv").write_text(
            "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
            + "".join(f"{i % 2}\t1\t2\tba be\t{'ba be' if i % 2 else 'zo zu'}\n" for i in range(20))
        )
    return data


def test_vectors_are_probed_and_searched_and_nothing_is_done_twice(
    models: Path, probed: Path, sentences: Path, tmp_path: Path
) -> None:
    mapped = tmp_path / "mapped"
    shutil.copytree(models / "small", mapped)
    weight = np.random.default_rng(0).normal(size=(64, 32)).astype(np.float32)
    add_modules(mapped, weight)
    out, table = tmp_path / "scores.json", tmp_path / "table.md"
    command: list[str | Path] = [
        *(models / "large", models / "small", mapped, "--reference", "large", "--data", probed),
        *("--sentences", sentences, "--tasks", "probes,retrieval", "--out", out, "--threads", "1"),
        *("--json", "--markdown", table),
    ]
    done = invoke(*command)
    assert done.exit_code == 0, done.exception
    scores = json.loads(done.stdout)["scores"]
    found = {(score["model"], score["task"]): score["score"] for score in scores}
    tasks = ["probe-sst2", "probe-cola", "probe-mrpc", "retrieval", "teacher-index"]
    # The vectors of `small` are narrower than the index; those of `mapped` are as wide.
    assert list(found) == [
        *(("large", task) for task in tasks),
        *(("small", task) for task in tasks[:-1]),
        *(("mapped", task) for task in tasks),
    ]
    assert found["large", "retrieval"] == found["large", "teacher-index"] == 1
    assert 0 < found["small", "retrieval"] < 1
    assert found["mapped", "teacher-index"] < found["mapped", "retrieval"]
    assert [found["large", task] for task in tasks[:3]] == [1.0, 1.0, 1.0]
    header, _, large, small, _ = table.read_text().splitlines()
    assert "| retrieval | teacher-index | probes | probes of reference |" in header
    assert large.endswith("| 100.00 | 100.00 | 100.00 | 100.0% |")
    assert "| - | " in small

    kept = json.loads(out.read_text())["scores"]
    changed = [{**score, "score": 0.125} for score in kept]
    out.write_text(json.dumps({"scores": changed}))
    again = json.loads(invoke(*command).stdout)["scores"]
    assert [score["score"] for score in again] == [0.125] * len(kept)
