"""Mixtures on the command line: searched, killed and resumed, extracted."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from autodistil.mixtures.report import MixtureReport, ProposedMixture, read_report, write_report
from autodistil.models.teacher import load_teacher
from autodistil.superlm.bundle import SuperLM
from autodistil.text.corpus import tokenize_corpus
from tests.cli.test_device import run
from tests.factories import STOCK_SPACE, make_bundle, write_corpus, write_teacher

NAME = "L3-H32-A4.2.2x8-F32.128.64"
SETTINGS = ["--evaluations", 8, "--population", 6, "--selection-rounds", 1]
SETTINGS += ["--confirmation-rounds", 1, "--proposals", 3, "--threads", 1]


class World:
    """A teacher, a text, a bundle, and what a search over them found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.teacher = write_teacher(folder / "teacher")
        self.corpus = write_corpus(folder / "corpus", documents=900)
        loaded = load_teacher(str(self.teacher))
        text = tokenize_corpus(self.corpus, loaded.tokenizer, folder / "cache")
        self.bundle: SuperLM = make_bundle(loaded, STOCK_SPACE, text, folder, "toy")
        self.report = folder / "report.json"

    def search(self, out: Path, *more: str | Path) -> list[str]:
        sources = ("--teacher", self.teacher, "--corpus", self.corpus, "--out", out)
        words = ("mixtures", "search", self.bundle.folder, *sources, *SETTINGS, *more)
        return [str(word) for word in words]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    torch.set_num_threads(1)
    made = World(tmp_path_factory.mktemp("mixtures"))
    run(*made.search(made.report))
    return made


def test_a_killed_search_ends_with_the_report_of_an_unbroken_one(
    world: World, tmp_path: Path
) -> None:
    command = world.search(tmp_path / "killed.json")
    killed = subprocess.Popen([sys.executable, "-m", "cli.main", *command])
    work, deadline = tmp_path / "killed.json.work", time.monotonic() + 120

    def measured() -> int:
        return sum(path.read_bytes().count(b"\n") for path in work.glob("*.jsonl"))

    while measured() < 30 and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    before = measured()
    assert before >= 30
    assert not (tmp_path / "killed.json").exists()
    run(*command, "--plot", tmp_path / "fronts.png")
    report = read_report(tmp_path / "killed.json")
    assert report == read_report(world.report)
    proposed = len(report.held) + len(report.dropped)
    assert measured() == 1 + 3 * (8 + 8) + 3 * (8 + proposed) > before
    assert (tmp_path / "fronts.png").is_file()


def test_the_table_and_the_json_say_the_same(world: World, tmp_path: Path) -> None:
    work = world.report.with_name(world.report.name + ".work")
    again = world.search(tmp_path / "again.json", "--work", work)
    table = run(*again).stdout
    assert "proposed mixtures held on other text; 8 of 504 were measured" in table
    assert "agreement gained over all budgets of MACs: " in table
    found = json.loads(run(*again, "--json").stdout)
    assert MixtureReport.model_validate(found) == read_report(world.report)


def test_any_mixture_is_extracted_by_name(world: World, tmp_path: Path) -> None:
    out = ("--mixture", NAME, "--out", tmp_path / "m")
    printed = run("mixtures", "extract", world.report, world.bundle.folder, *out).stdout
    assert f"{NAME} (own model class)" in printed
    receipt = json.loads((tmp_path / "m" / "receipt.json").read_text())
    assert receipt["mixture"]["heads"] == [4, 2, 2]
    assert receipt["judgement"] is None
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config["layer_intermediate_sizes"] == [32, 128, 64]
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_mixture_that_held_is_extracted_by_budget(world: World, tmp_path: Path) -> None:
    report = read_report(world.report)
    proposed = [*report.held, *report.dropped]
    held: ProposedMixture = max(proposed, key=lambda row: row.agreement)
    held = held.model_copy(update={"agreement": 2.0})
    path = tmp_path / "report.json"
    write_report(report.model_copy(update={"held": (held,), "dropped": ()}), path)
    budget = ("--macs", held.cost.macs, "--out", tmp_path / "m", "--json")
    printed = run("mixtures", "extract", path, world.bundle.folder, *map(str, budget)).stdout
    receipt = json.loads(printed)
    assert receipt["mixture"] == held.mixture.model_dump(mode="json")
    assert receipt["limits"] == {"macs": held.cost.macs}
    assert receipt["judgement"]["agreement"] == 2.0
    least = ("--macs", str(held.cost.macs - 1), "--out", tmp_path / "n")
    refused = run("mixtures", "extract", path, world.bundle.folder, *least, status=3).stderr
    assert f"has {held.cost.macs:,}" in refused
    assert not (tmp_path / "n").exists()


@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        (["--mixture", "big"], 2, "is not a mixture"),
        (["--mixture", "L3-H32-A4.2.9x8-F32.128.64"], 2, "is not a mixture of toy@1"),
        (["--mixture", NAME, "--macs", "1M"], 2, "not both"),
        ([], 2, "at least one limit"),
        (["--macs", "lots"], 2, "macs"),
    ],
)
def test_wrong_extractions_are_refused(
    words: list[str], status: int, reason: str, world: World, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "m")
    done = run(
        "mixtures", "extract", world.report, world.bundle.folder, *words, *out, status=status
    )
    assert reason in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_report_of_another_bundle_is_refused(world: World, tmp_path: Path) -> None:
    out = ("--mixture", NAME, "--out", tmp_path / "m")
    refused = run("mixtures", "extract", world.report, *out, status=2).stderr
    assert "The report is about toy@1" in refused
    assert "minilm-l6-tiny@" in refused


@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        (["--evaluations", "0"], 2, "evaluations"),
        (["--population", "1"], 2, "population"),
        (["--seed", "-1"], 2, "seed"),
        (["--plot", "fronts.gif"], 2, ".png or .svg"),
        (["--corpus", "/nowhere"], 2, "/nowhere"),
        (["--teacher", "/nowhere"], 1, "cannot be loaded as a teacher"),
        (["--out", "/"], 2, "is a folder"),
        (["--max-documents", "3"], 2, "single document"),
    ],
)
def test_wrong_searches_are_refused(
    words: list[str], status: int, reason: str, world: World, tmp_path: Path
) -> None:
    done = run(*world.search(tmp_path / "r.json"), *words, status=status)
    assert reason in done.stderr
    assert not (tmp_path / "r.json").exists()


def test_a_missing_report_is_refused(tmp_path: Path) -> None:
    missing = ("mixtures", "extract", tmp_path / "none.json", "--out", tmp_path / "m")
    assert "cannot be read" in run(*missing, "--macs", "1M", status=2).stderr
