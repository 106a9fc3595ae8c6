"""The commands around the search, in this process: scores, fronts, own text, proxy tasks."""

import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from autodistil.errors import AutoDistilError, InvalidInput, TeacherMismatch
from autodistil.models.teacher import load_teacher
from autodistil.search.fronts import CostAxis, front_report
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.entries import entries_of
from autodistil.text.corpus import tokenize_corpus
from cli.main import app
from tests.factories import (
    STOCK_SPACE,
    make_bundle,
    sentence,
    whole_texts,
    write_corpus,
    write_teacher,
)


@dataclass(frozen=True)
class Place:
    """A bundle, its teacher, and a domain's text."""

    folder: Path
    superlm: SuperLM

    @property
    def bundle(self) -> str:
        return str(self.superlm.folder)

    @property
    def teacher(self) -> str:
        return str(self.folder / "tiny-teacher")

    @property
    def text(self) -> str:
        return str(self.folder / "text.txt")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("place")
    teacher = load_teacher(str(write_teacher(folder / "tiny-teacher")))
    corpus = tokenize_corpus(write_corpus(folder / "corpus"), teacher.tokenizer, folder / "cache")
    rng = random.Random(3)
    (folder / "text.txt").write_text(" ".join(sentence(rng) for _ in range(40)))
    return Place(
        folder, make_bundle(teacher, STOCK_SPACE, whole_texts(corpus, teacher), folder, "stock")
    )


def run(*arguments: str) -> Any:
    """What a command prints as JSON."""
    done = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def refused(kind: type[AutoDistilError], reason: str, *arguments: str) -> None:
    with pytest.raises(kind, match=reason):
        CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_a_score_can_be_chosen(place: Place) -> None:
    best = {}
    for score in ("quality", "loss", "params"):
        found = run("search", place.bundle, "--macs", "1G", "--score", score)
        assert found["score"] == score
        best[score] = found["choice"]
    rows = [entry.row() for entry in entries_of([place.superlm])]
    assert best["quality"]["quality"] == max(row["quality"] for row in rows)
    assert best["params"]["params"] == max(row["params"] for row in rows)
    losses = [row["relation_loss"] + row["similarity_loss"] for row in rows]
    assert best["loss"]["relation_loss"] + best["loss"]["similarity_loss"] == min(losses)


def test_the_front_is_printed_and_drawn(place: Place, tmp_path: Path) -> None:
    found = run("front", place.bundle, "--x", "params", "--plot", str(tmp_path / "f.svg"))
    assert found.pop("warnings") == []
    assert found == front_report(entries_of([place.superlm]), CostAxis.PARAMS)
    assert "<svg" in (tmp_path / "f.svg").read_text()
    table = CliRunner().invoke(app, ["front", place.bundle], catch_exceptions=False).stdout
    assert "stock@1: front over macs" in table
    refused(InvalidInput, r"\.png or \.svg", "front", place.bundle, "--plot", "f.txt")
    refused(InvalidInput, "needs --device", "front", place.bundle, "--x", "latency")
    refused(InvalidInput, "belong to --x latency", "front", place.bundle, "--conditions", "a=1")


def test_superlms_scored_on_different_text_are_warned_of(place: Place, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(place.bundle, other)
    spec = json.loads((other / "superlm.json").read_text())
    spec["name"], spec["provenance"]["held_out_sha256"] = "other", "0" * 64
    (other / "superlm.json").write_text(json.dumps(spec))
    call = ["search", place.bundle, str(other), "--macs", "1G"]
    (warning,) = run(*call)["warnings"]
    assert "different text" in warning
    result = CliRunner().invoke(app, call, catch_exceptions=False)
    assert "different text" in result.stderr
    assert "different text" not in CliRunner().invoke(app, [*call, "--json"]).stderr


def test_own_text_scores_the_best_students_anew(place: Place, tmp_path: Path) -> None:
    options = [place.bundle, "--macs", "1G", "--text", place.text, "--teacher", place.teacher]
    found = run("search", *options)
    assert found["domain"]["sentences"] == 40
    assert found["domain"]["scored"] == found["considered"] == 8
    plain = run("search", place.bundle, "--macs", "1G")
    assert "domain" not in plain
    assert found["choice"]["quality"] != plain["choice"]["quality"]
    receipt = run("extract", *options, "--out", str(tmp_path / "student"))
    assert receipt["domain"] == found["domain"]
    assert receipt["architecture"] == {k: found["choice"][k] for k in receipt["architecture"]}
    assert receipt["quality"] == pytest.approx(found["choice"]["quality"])
    shown = CliRunner().invoke(app, ["search", *options], catch_exceptions=False).stdout
    assert "40 sentences" in shown


def test_own_text_that_cannot_be_used_is_refused(place: Place, tmp_path: Path) -> None:
    search = ["search", place.bundle, "--macs", "1G"]
    refused(InvalidInput, "needs --teacher", *search, "--text", place.text)
    own = [*search, "--teacher", place.teacher, "--text"]
    refused(InvalidInput, "nowhere", *own, str(tmp_path / "nowhere.txt"))
    (tmp_path / "short.txt").write_text("One. Two. Three.")
    refused(InvalidInput, "has 3 sentences", *own, str(tmp_path / "short.txt"))
    (tmp_path / "long.txt").write_text("Many words. " * 20_000)
    refused(InvalidInput, "more than 200,000 characters", *own, str(tmp_path / "long.txt"))
    other = str(write_teacher(tmp_path / "tiny-teacher", seed=1))
    wrong = [*search, "--teacher", other, "--text", place.text]
    refused(TeacherMismatch, "is not the tiny-teacher", *wrong)
    by_name = ["--architecture", "L2-H16-A2x8-F32", "--out", str(tmp_path / "s")]
    refused(InvalidInput, "not both", "extract", place.bundle, *by_name, "--text", place.text)


def test_a_proxy_task_chooses_among_the_students_on_the_front(place: Place, tmp_path: Path) -> None:
    rows = [f"Ba be {i}.\tBa be {j}.\t{abs(i - j)}.0" for i in range(4) for j in range(4)]
    (tmp_path / "dev.tsv").write_text("sentence1\tsentence2\tscore\n" + "\n".join(rows))
    options = ["search", place.bundle, "--macs", "1G", "--proxy", "stsb-zero-shot"]
    options += ["--data", str(tmp_path), "--students", "2", "--scores", str(tmp_path / "s.json")]
    found = run(*options)
    scores = [row["proxy"]["mean"] for row in found["scored"]]
    assert scores == sorted(scores, reverse=True)
    assert found["choice"] == found["scored"][0]
    assert len(json.loads((tmp_path / "s.json").read_text())["scores"]) == 2
    shown = CliRunner().invoke(app, options, catch_exceptions=False).stdout
    assert "the best on stsb-zero-shot first" in shown
    refused(InvalidInput, "belong together", *options[:6])
    refused(InvalidInput, "not both", *options, "--text", place.text)
    refused(InvalidInput, "is no task", *[o.replace("zero-shot", "shot") for o in options])
