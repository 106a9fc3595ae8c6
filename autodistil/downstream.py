"""Scores of a student on tasks: STS-B without fine-tuning."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autodistil.errors import InvalidInput

if TYPE_CHECKING:
    from torch import Tensor

_MAX_LENGTH = 128

Embed = Callable[[list[str]], "Tensor"]
"""Texts to sentence vectors, [texts, hidden]."""


@dataclass(frozen=True)
class SimilarityPairs:
    """Sentence pairs with a human score of their similarity (0 to 5)."""

    first: list[str]
    second: list[str]
    scores: list[float]


def read_stsb(folder: Path, split: str = "dev") -> SimilarityPairs:
    """Read STS-B in the GLUE format from a folder, or from its sub-folder `STS-B`.

    Raises:
        InvalidInput: The file is missing or not in that format.
    """
    candidates = (folder / f"{split}.tsv", folder / "STS-B" / f"{split}.tsv")
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        raise InvalidInput(f"No STS-B here: neither {candidates[0]} nor {candidates[1]} exists.")
    # The GLUE files are tab-separated without quoting, so a quote is an ordinary character.
    lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    columns = lines[0].split("\t")
    try:
        first, second, score = (columns.index(c) for c in ("sentence1", "sentence2", "score"))
    except ValueError as error:
        raise InvalidInput(f"{path}: no columns sentence1, sentence2 and score.") from error
    pairs = SimilarityPairs([], [], [])
    for number, line in enumerate(lines[1:], 2):
        fields = line.split("\t")
        try:
            pairs.scores.append(float(fields[score]))
            pairs.first.append(fields[first])
            pairs.second.append(fields[second])
        except (IndexError, ValueError) as error:
            raise InvalidInput(f"{path}, line {number}: not a scored pair ({error}).") from error
    if len(pairs.scores) < 2:
        raise InvalidInput(f"{path}: needs at least two pairs.")
    return pairs


def stsb_spearman(embed: Embed, pairs: SimilarityPairs) -> float:
    """Spearman correlation between the cosine of two sentence vectors and the human score."""
    from scipy.stats import spearmanr
    from torch.nn import functional as F

    vectors = embed(pairs.first + pairs.second)
    cosines = F.cosine_similarity(vectors[: len(pairs.first)], vectors[len(pairs.first) :])
    return float(spearmanr(cosines.numpy(), pairs.scores).statistic)


def folder_embedder(folder: Path, batch_size: int = 64) -> Embed:
    """Mean-pooled last hidden states of a transformers folder, loaded without remote code.

    Raises:
        InvalidInput: There is no loadable model in the folder.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    from autodistil.elastic import mean_pool

    try:
        # False, not left out: left out, transformers stops to ask whether code may run.
        own = {"local_files_only": True, "trust_remote_code": False}
        model = AutoModel.from_pretrained(folder, dtype=torch.float32, **own)
        tokenizer = AutoTokenizer.from_pretrained(folder, **own)
    except Exception as error:  # transformers meets a bad file with errors of a dozen kinds
        raise InvalidInput(
            f"{folder} holds no model that transformers can load: {error}"
        ) from error
    model.eval()

    @torch.inference_mode()
    def embed(texts: list[str]) -> "Tensor":
        # Sorted by length, so that a batch holds little padding; restored at the end.
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        parts = []
        for start in range(0, len(order), batch_size):
            chosen = [texts[i] for i in order[start : start + batch_size]]
            tokens = tokenizer(
                chosen,
                padding=True,
                truncation=True,
                max_length=_MAX_LENGTH,
                return_tensors="pt",
            )
            hidden = model(**tokens).last_hidden_state
            parts.append(mean_pool(hidden, tokens["attention_mask"]))
        vectors = torch.cat(parts)
        restored = torch.empty_like(vectors)
        restored[torch.tensor(order)] = vectors
        return restored

    return embed
