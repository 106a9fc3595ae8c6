import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import datasets
import numpy as np

from autodistil.superlm.bundle import open_superlm
from tests.factories import STOCK_SPACE, document, edit_json, write_corpus, write_teacher


def test_a_killed_training_goes_on_and_ends_with_the_bundle_of_an_unbroken_one(
    tmp_path: Path,
) -> None:
    teacher, corpus = write_teacher(tmp_path / "teacher"), write_corpus(tmp_path / "corpus")
    (tmp_path / "space.json").write_text(STOCK_SPACE.model_dump_json())
    settings = {"batch_tokens": 256, "lengths": [16, 32], "length_weights": [1, 1]}
    settings |= {"relation_heads": 2, "precision": "fp32", "random_students": 1}
    (tmp_path / "settings.json").write_text(json.dumps(settings))

    def command(name: str) -> list[str]:
        options = {
            "--teacher": teacher,
            "--corpus": corpus,
            "--space": tmp_path / "space.json",
            "--settings": tmp_path / "settings.json",
            "--tokens": "60K",
            "--threads": 1,
            "--checkpoint-seconds": 0.5,
            "--work": tmp_path / f"{name}.work",
            "--out": tmp_path / name / "toy",
        }
        words = [str(word) for option in options.items() for word in option]
        return [sys.executable, "-m", "cli.main", "train", *words]

    subprocess.run(command("whole"), check=True, capture_output=True)
    killed = subprocess.Popen(command("killed"))
    checkpoint = tmp_path / "killed.work" / "checkpoint.safetensors"
    deadline = time.monotonic() + 60
    while not checkpoint.is_file() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)  # some steps beyond the checkpoint, which are done again
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    rows = (tmp_path / "whole.work" / "losses.jsonl").read_text().splitlines()
    assert checkpoint.is_file()
    assert json.loads(rows[-1])["tokens"] >= 60_000
    assert not (tmp_path / "killed").exists() or not list((tmp_path / "killed").iterdir())
    subprocess.run(command("killed"), check=True, capture_output=True)
    whole, resumed = (open_superlm(tmp_path / name / "toy") for name in ("whole", "killed"))
    assert resumed.spec.files["weights.safetensors"] == whole.spec.files["weights.safetensors"]
    assert resumed.candidates == whole.candidates
    assert (tmp_path / "killed.work" / "losses.jsonl").read_text().splitlines() == rows
    assert resumed.spec.provenance.tokens_seen >= 60_000


def cut(folder: Path, corpus: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Cut a SuperLM without training it."""
    teacher = folder / "teacher"
    if not teacher.exists():
        write_teacher(teacher)
    (folder / "space.json").write_text(STOCK_SPACE.model_dump_json())
    words = [sys.executable, "-m", "cli.main", "train", "--teacher", teacher, "--tokens", "0"]
    words += ["--space", folder / "space.json", "--out", folder / "toy", "--threads", "1"]
    return subprocess.run(
        [*map(str, words), "--corpus", corpus, *options], capture_output=True, text=True
    )


def test_a_data_set_can_be_the_corpus_and_the_bundle_says_how_much_of_it(tmp_path: Path) -> None:
    rng = random.Random(0)
    rows = datasets.Dataset.from_dict({"text": [document(rng) for _ in range(50)]})
    rows.to_parquet(tmp_path / "words.parquet")
    done = cut(tmp_path, f"dataset:{tmp_path / 'words.parquet'}", "--max-documents", "30")
    assert done.returncode == 0, done.stderr
    provenance = open_superlm(tmp_path / "toy").spec.provenance
    assert provenance.corpus == "words.parquet, the first 30 documents"
    (starts,) = (tmp_path / "toy.work" / "corpus").glob("*-train/documents.npy")
    assert int(np.load(starts)[-1]) + 1 == 29  # and one held out


def test_several_sources_are_mixed_by_weight(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("Ba be. Bi bo.\n" * 400)
    corpus = write_corpus(tmp_path / "corpus")
    done = cut(tmp_path, str(corpus), "--corpus", f"sentences:{tmp_path / 'lines.txt'}=0.5")
    assert done.returncode == 0, done.stderr
    provenance = open_superlm(tmp_path / "toy").spec.provenance
    assert provenance.corpus == "corpus x 1 + lines.txt x 0.5"


def test_a_corpus_that_is_none_is_a_wrong_call(tmp_path: Path) -> None:
    for corpus, reason in {
        "hub:a b": "names no data set",
        "/nowhere": "no such file or folder",
        "/nowhere=0": "0 is no weight",
    }.items():
        done = cut(tmp_path, corpus)
        assert (done.returncode, reason in done.stderr) == (2, True), done.stderr
        assert "Traceback" not in done.stderr


def test_it_says_what_the_teacher_is_called_and_by_what(tmp_path: Path) -> None:
    write_teacher(tmp_path / "teacher")
    edit_json(
        tmp_path / "teacher" / "config.json",
        lambda config: {**config, "_name_or_path": "owner/known-v2"},
    )
    done = cut(tmp_path, str(write_corpus(tmp_path / "corpus")))
    assert done.returncode == 0, done.stderr
    assert "the teacher is called owner/known-v2, by its config.json" in done.stderr
    assert open_superlm(tmp_path / "toy").spec.teacher.name == "owner/known-v2"
