"""STS-B without fine-tuning: how well the cosine of two sentence vectors follows people."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autodistil.downstream.metrics import spearman
from autodistil.downstream.task_data import Examples
from autodistil.models.model_folder import load_folder

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

MAX_LENGTH = 128
"""Tokens of a text; the rest is cut off."""

Embed = Callable[[list[str]], "Tensor"]
"""Texts to sentence vectors, [texts, hidden]."""


def stsb_spearman(embed: Embed, pairs: Examples) -> float:
    """Spearman correlation between the cosine of two sentence vectors and the human score."""
    from torch.nn import functional as F

    vectors = embed(pairs.first + (pairs.second or []))
    cosines = F.cosine_similarity(vectors[: len(pairs)], vectors[len(pairs) :])
    return spearman(cosines.double().numpy(), np.array(pairs.labels))


def folder_embedder(folder: Path, batch_size: int = 64) -> Embed:
    """Mean-pooled last hidden states of a transformers folder, loaded without remote code.

    Raises:
        InvalidInput: There is no loadable model in the folder.
    """
    loaded = load_folder(folder)
    model: Any = loaded.model
    model.eval()

    def hidden_states(tokens: Mapping[str, "Tensor"]) -> "Tensor":
        hidden: Tensor = model(**tokens).last_hidden_state
        return hidden

    return pooling_embedder(hidden_states, loaded.tokenizer, batch_size)


def pooling_embedder(
    hidden_states: Callable[[Mapping[str, "Tensor"]], "Tensor"],
    tokenizer: "PreTrainedTokenizerBase",
    batch_size: int = 64,
) -> Embed:
    """Mean-pooled hidden states of any model.

    Args:
        hidden_states: From what the tokenizer made of a batch, `input_ids` and `attention_mask` of
            [batch, tokens] among it, to [batch, tokens, hidden].
        tokenizer: The model's.
        batch_size: Texts of a batch.
    """
    import torch

    from autodistil.models.elastic import mean_pool

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
                max_length=MAX_LENGTH,
                return_tensors="pt",
            )
            parts.append(mean_pool(hidden_states(tokens), tokens["attention_mask"]))
        vectors = torch.cat(parts)
        restored = torch.empty_like(vectors)
        restored[torch.tensor(order)] = vectors
        return restored

    return embed
