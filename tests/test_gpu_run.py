"""The script for a machine with a GPU, run dry: tiny teacher, tiny recipes, on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from autodistil.superlm.bundle import open_superlm
from tests.factories import write_corpus, write_embedder

ROOT = Path(__file__).parents[1]
SPACE = {
    "head_policy": "stock",
    "head_width": 16,
    "layers": [1, 2],
    "hidden": [32],
    "ffn_percent": [100],
}
SETTINGS = {"batch_tokens": 256, "lengths": [16], "length_weights": [1.0], "precision": "fp32"}


def run(folder: Path, **more: str) -> str:
    environment = {
        **os.environ,
        "TEACHER": str(folder / "teacher"),
        "SENTENCES": str(folder / "text"),
        "OUT": str(folder / "out"),
        "RECIPES": str(folder / "recipes"),
        "PYTHON": sys.executable,
        "DEVICE": "cpu",
        "TOKENS": "2K",
        **more,
    }
    return subprocess.run(
        ["bash", str(ROOT / "scripts" / "gpu_run.sh")],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=900,
    ).stdout


@pytest.mark.slow
def test_the_script_trains_both_superlms_and_goes_on_where_it_was(tmp_path: Path) -> None:
    write_embedder(tmp_path / "teacher")
    write_corpus(tmp_path / "text")
    (tmp_path / "recipes").mkdir()
    for name in ("wide", "narrow"):
        stem = tmp_path / "recipes" / f"minilm-l6-{name}"
        stem.with_suffix(".space.json").write_text(json.dumps({"name": name, **SPACE}))
        stem.with_suffix(".gpu.json").write_text(json.dumps(SETTINGS))
    stopped = run(tmp_path, SECONDS_LEFT="1")
    assert "a training was stopped" in stopped
    assert "done" in run(tmp_path)
    for name in ("wide", "narrow"):
        superlm = open_superlm(tmp_path / "out" / f"minilm-l6-{name}")
        assert superlm.spec.provenance.tokens_seen >= 2_000
        assert len(superlm.candidates) == 2
    assert "trainings: 2K tokens" in run(tmp_path)  # both are there: nothing is left to do
