import json
import random
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoModel

from autodistil.downstream.embedder import open_embedder
from autodistil.downstream.scores import ScoreFile
from cli.evaluate import command
from tests.autodistil.downstream.sentence_folders import add_modules
from tests.factories import WORDS, write_teacher

Run = Callable[..., str]
"""Runs a script of the benchmarks; returns what it printed."""
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    folder = write_teacher(tmp_path / "teacher")
    add_modules(folder, max_seq_length=32)
    return folder


@pytest.fixture
def sentences(tmp_path: Path) -> Path:
    """About 280 held-out sentences, and 32 times as many in all."""
    rng = random.Random(0)
    lines = [" ".join(rng.choices(WORDS, k=rng.randint(2, 6))) for _ in range(9_000)]
    (tmp_path / "sentences.txt").write_text("\n".join(lines))
    return tmp_path / "sentences.txt"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a script of the benchmarks in this process; returns what it printed."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def script(name: str, *arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(BENCHMARKS / name), run_name="__main__")
        return capsys.readouterr().out

    return script


def test_a_static_table_is_as_wide_as_asked_or_as_its_bytes_allow(
    run: Run, teacher: Path, tmp_path: Path
) -> None:
    run("static_table.py", "--teacher", teacher, "--widths", "24,8", "--out", tmp_path / "out")
    tokens = AutoModel.from_pretrained(teacher).config.vocab_size
    run("static_table.py", "--teacher", teacher, "--bytes", 2 * 20 * tokens + 7, "--out", tmp_path)
    for folder in (tmp_path / "out" / "static-24", tmp_path / "out" / "static-8"):
        vectors = open_embedder(folder).encode(["ba be", "zo"])
        assert vectors.shape == (2, int(folder.name.removeprefix("static-")))
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    assert (tmp_path / "static-20").is_dir()


def test_a_layer_that_does_nothing_is_the_first_to_go(
    run: Run, sentences: Path, tmp_path: Path
) -> None:
    folder = write_teacher(tmp_path / "deep", num_hidden_layers=6)
    model = AutoModel.from_pretrained(folder)
    for name, value in model.named_parameters():
        # Of layers 1 and 3 only the residual path is left, once more normalised.
        if "layer.1." in name or "layer.3." in name:
            value.data.fill_(1.0 if "LayerNorm.weight" in name else 0.0)
    model.save_pretrained(folder)
    add_modules(folder)
    run("baselines.py", "--teacher", folder, "--sentences", sentences, "--out", tmp_path / "out")
    found = AutoModel.from_pretrained(tmp_path / "out" / "best-4").state_dict()
    for place, layer in enumerate((0, 2, 4, 5)):
        name = "attention.self.query.weight"
        kept = model.state_dict()[f"encoder.layer.{layer}.{name}"]
        assert (found[f"encoder.layer.{place}.{name}"] == kept).all()
    assert open_embedder(tmp_path / "out" / "best-1").encode(["ba"]).shape == (1, 64)


def test_the_librarys_recipe_brings_a_student_nearer_to_the_teacher(
    run: Run, teacher: Path, sentences: Path, tmp_path: Path
) -> None:
    def train(tokens: int) -> Path:
        out = tmp_path / f"student-{tokens}"
        layers = ("--layers", "0,3", "--tokens", tokens, "--sentences", sentences)
        run("library_recipe.py", "--teacher", teacher, *layers, "--out", out)
        known = json.loads((tmp_path / f"{out.name}.run.json").read_text())
        assert tokens <= known["tokens"] < tokens + 64 * 32
        return out

    texts = [" ".join(random.Random(i).choices(WORDS, k=4)) for i in range(200)]
    wanted = open_embedder(teacher).encode(texts)
    cosines = [
        float((open_embedder(train(tokens)).encode(texts) * wanted).sum(axis=1).mean())
        for tokens in (1, 15_000)
    ]
    assert cosines[1] > cosines[0] + 0.01


def test_students_and_floors_stand_in_one_table(
    run: Run, teacher: Path, sentences: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("static_table.py", "--teacher", teacher, "--widths", "64", "--out", tmp_path)
    models = [f"teacher={teacher}", str(tmp_path / "static-64")]
    scores = tmp_path / "scores.json"
    command(
        models, reference="teacher", tasks="retrieval", sentences=[sentences], out=scores, threads=1
    )
    assert len(ScoreFile(scores).scores) == 4
    capsys.readouterr()
    table = run("table.py", *models, "--reference", "teacher", "--scores", scores)
    _, _, first, second = table.splitlines()[:4]
    assert first.startswith("| teacher | ")
    assert first.endswith(" (100.0%) | - | - | 100.00 | 100.00 |")
    assert second.startswith("| static-64 | 0 (0.0%) | ")
