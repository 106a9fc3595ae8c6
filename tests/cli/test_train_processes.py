"""Training in several processes, launched as a user would."""

import json
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from autodistil.superlm.bundle import open_superlm
from autodistil.training.checkpoint import CHECKPOINT
from autodistil.training.loss_curve import LOSSES
from tests.factories import STOCK_SPACE, write_corpus, write_teacher

SETTINGS = {
    "batch_tokens": 256,
    "lengths": [16, 32],
    "length_weights": [1, 1],
    "relation_heads": 2,
    "precision": "fp32",
    "random_students": 1,
    "start": {"least_squares": False, "layers": "spaced", "calibration_batches": 1},
}


def train(folder: Path, name: str, launcher: list[str], **settings: object) -> Path:
    """Train and return the work folder."""
    (folder / f"{name}.json").write_text(json.dumps(SETTINGS | settings))
    options = {
        "--teacher": folder / "teacher",
        "--corpus": folder / "corpus",
        "--space": folder / "space.json",
        "--settings": folder / f"{name}.json",
        "--tokens": "6K",
        "--threads": 1,
        "--device": "cpu",
        "--work": folder / f"{name}.work",
        "--out": folder / name,
    }
    words = [str(word) for option in options.items() for word in option]
    command = [sys.executable, *launcher, "-m", "cli.main", "train", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / f"{name}.work"


def test_two_processes_train_what_one_does_in_two_parts(tmp_path: Path) -> None:
    write_teacher(tmp_path / "teacher")
    write_corpus(tmp_path / "corpus")
    (tmp_path / "space.json").write_text(STOCK_SPACE.model_dump_json())
    # With --cpu, accelerate launches by MPI; behind --multi_gpu is torch's own, for any device.
    launcher = "-m accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1"
    launcher += " --mixed_precision no --dynamo_backend no"
    two = train(tmp_path, "two", launcher.split())
    one = train(tmp_path, "one", [], accumulate=2)
    counts = [len((work / LOSSES).read_text().splitlines()) for work in (one, two)]
    assert counts[0] == counts[1] > 10
    ours, theirs = load_file(one / CHECKPOINT), load_file(two / CHECKPOINT)
    start = load_file(one / "start.safetensors")
    for name, tensor in start.items():
        a, b = ours[f"weights/{name}"], theirs[f"weights/{name}"]
        assert torch.allclose(a, b, atol=1e-4), name
        if "dense.weight" in name and "pooler" not in name:
            assert (a - tensor).abs().mean() > 20 * (a - b).abs().mean(), name
    seen = {open_superlm(tmp_path / name).spec.provenance.tokens_seen for name in ("one", "two")}
    assert len(seen) == 1
