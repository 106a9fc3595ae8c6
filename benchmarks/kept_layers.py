"""Students that are the teacher with some of its layers, and which layers are worth keeping."""

import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from autodistil.downstream.embedder import PoolingEmbedder, Vectors
from autodistil.models.model_folder import load_folder
from autodistil.models.sentence_folder import read_sentence_folder
from autodistil.models.sentence_steps import load_steps

_SENTENCE_FILES = (
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
)


def keep_layers(model: Any, layers: Sequence[int]) -> None:
    """Leave only these layers in a BERT."""
    model.encoder.layer = nn.ModuleList(model.encoder.layer[i] for i in layers)
    model.config.num_hidden_layers = len(layers)


def write_kept_layers(teacher: Path, layers: Sequence[int], folder: Path) -> None:
    """The teacher with these layers only, untrained, as a folder of the teacher's form."""
    loaded = load_folder(teacher)
    keep_layers(loaded.model, layers)
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    copy_sentence_files(teacher, folder)


def copy_sentence_files(teacher: Path, folder: Path) -> None:
    """What follows the encoder, as in the teacher."""
    for name in (*_SENTENCE_FILES, *read_sentence_folder(teacher).folders):
        if (teacher / name).is_dir():
            shutil.copytree(teacher / name, folder / name, dirs_exist_ok=True)
        elif (teacher / name).is_file():
            shutil.copyfile(teacher / name, folder / name)


def best_layers(teacher: Path, counts: Sequence[int], texts: list[str]) -> dict[int, list[int]]:
    """For each number of layers those that stay nearest to the teacher; the last is always kept.

    All subsets are tried. Nearness is the mean cosine between a subset's vector of a text and the
    teacher's, both without the mean of all texts, which says nothing of any of them.

    Args:
        teacher: Folder of a BERT.
        counts: Numbers of layers to keep.
        texts: Held-out sentences to measure on.
    """
    loaded = load_folder(teacher)
    model: Any = loaded.model
    model.eval()
    every = list(model.encoder.layer)
    last = len(every) - 1
    embedder = PoolingEmbedder(
        lambda tokens: model(**tokens).last_hidden_state,
        loaded.tokenizer,
        sentence=loaded.sentence,
        steps=load_steps(loaded.sentence),
    )
    wanted = embedder.encode(texts)
    best = {}
    for count in counts:
        found: dict[tuple[int, ...], float] = {}
        for chosen in itertools.combinations(range(last), count - 1):
            layers = (*chosen, last)
            model.encoder.layer = nn.ModuleList(every[i] for i in layers)
            found[layers] = _agreement(embedder.encode(texts), wanted)
        kept, nearness = max(found.items(), key=lambda item: item[1])
        best[count] = list(kept)
        print(f"{count} layers: {best[count]}, mean cosine {nearness:.4f}", flush=True)
    return best


def _agreement(found: Vectors, wanted: Vectors) -> float:
    a, b = (torch.from_numpy(vectors - vectors.mean(axis=0)) for vectors in (found, wanted))
    return float(torch.cosine_similarity(a, b).mean())
