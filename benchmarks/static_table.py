"""A floor without a Transformer: the teacher's vector of every token alone, by model2vec's recipe.

    python benchmarks/static_table.py --teacher FOLDER --widths 256,128,64 --out FOLDER
    python benchmarks/static_table.py --teacher FOLDER --bytes 8000000 --out FOLDER

Each token goes through the teacher between its special tokens; the pooled vectors are brought to
the width by PCA and weighted by how rare the token is. The vocabulary stands in the order of
frequency, so that a token's rank stands for its frequency (Zipf's law). Special tokens and the
[unused] ones have no rank, and rows of zeros. A sentence is the mean of its tokens' rows. Writes
`static-256` and so on, folders that `autodistil evaluate` and sentence-transformers load. Bytes are
those of the table in half precision.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autodistil.downstream.embedder import Vectors
from autodistil.downstream.static_table import StaticTable
from autodistil.models.model_folder import load_folder
from autodistil.models.sentence_vectors import pool
from autodistil.quiet import quiet_transformers
from autodistil.text.special_tokens import special_tokens

Weighting = Literal["zipf", "sif"]
_BATCH = 1_024
_SIF = 1e-4  # model2vec's


def main() -> None:
    """Write the tables."""
    quiet_transformers()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teacher", type=Path, required=True)
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--widths", help="widths, separated by commas")
    size.add_argument("--bytes", type=int, help="most bytes of the table")
    parser.add_argument("--weighting", choices=("sif", "zipf"), default="sif")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    vectors, tokenizer = token_vectors(arguments.teacher)
    ranked = is_ranked(tokenizer)
    widths = (
        [int(width) for width in arguments.widths.split(",")]
        if arguments.widths
        else [arguments.bytes // (2 * len(vectors))]
    )
    if not all(0 < width <= vectors.shape[1] for width in widths):
        parser.error(f"a width must be 1 to {vectors.shape[1]}, not {widths}")
    for width in widths:
        table = np.zeros((len(vectors), width), np.float32)
        table[ranked] = weigh(reduce(vectors[ranked], width), arguments.weighting)
        folder = arguments.out / f"static-{width}"
        StaticTable(table, tokenizer.backend_tokenizer).save(folder)
        print(f"{folder}: {len(table):,} x {width}, {2 * table.size:,} bytes", flush=True)


@torch.inference_mode()
def token_vectors(teacher: Path) -> tuple[Vectors, Any]:
    """The teacher's pooled vector of every token alone, [tokens, hidden], and its tokenizer."""
    loaded = load_folder(teacher)
    model: Any = loaded.model
    tokenizer: Any = loaded.tokenizer
    model.eval()
    before, after, _ = special_tokens(tokenizer)
    parts = []
    for start in range(0, len(tokenizer), _BATCH):
        rows = range(start, min(start + _BATCH, len(tokenizer)))
        ids = torch.tensor([[*before, token, *after] for token in rows])
        given: Mapping[str, Tensor] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        hidden = model(**given).last_hidden_state
        parts.append(pool(hidden, given["attention_mask"], loaded.sentence.pooling))
    return torch.cat(parts).numpy(), tokenizer


def is_ranked(tokenizer: Any) -> NDArray[np.bool_]:
    """Which tokens texts are made of: neither special nor [unused], [tokens]."""
    names = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    special = set(tokenizer.all_special_tokens)
    return np.array([name not in special and not name.startswith("[unused") for name in names])


def reduce(vectors: Vectors, width: int) -> Vectors:
    """The vectors without their mean, along the directions in which they differ most.

    Args:
        vectors: [tokens, hidden].
        width: How many directions to keep.
    """
    centred = vectors - vectors.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    found: Vectors = centred @ directions[:, ::-1][:, :width]
    return found


def weigh(vectors: Vectors, weighting: Weighting) -> Vectors:
    """The vectors, those of frequent tokens made short.

    Args:
        vectors: In the order of frequency, [tokens, width].
        weighting: `sif` multiplies by a / (a + p), with p from Zipf's law; `zipf` by log(1 + rank).
    """
    rank = np.arange(1, len(vectors) + 1)
    if weighting == "zipf":
        weights = np.log1p(rank)
    else:
        probability = 1 / (rank + 1)
        probability /= probability.sum()
        weights = _SIF / (_SIF + probability)
    weighed: Vectors = (vectors * weights[:, None]).astype(np.float32)
    return weighed


if __name__ == "__main__":
    main()
