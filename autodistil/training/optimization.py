"""The optimizer of a training, and how its rate rises and falls."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from autodistil.models.sentence_vectors import TRAINED_MAP
from autodistil.training.settings import TrainingSettings


def build_optimizer(tensors: Mapping[str, Tensor], settings: TrainingSettings) -> torch.optim.AdamW:
    """AdamW over the tensors of a SuperLM: embeddings and map with rates of their own, biases and
    LayerNorms without decay.

    Args:
        tensors: The parameters by their names.
        settings: Rates and weight decay.
    """
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, tensor in tensors.items():
        share = _share(name, settings)
        decay = settings.weight_decay if tensor.ndim > 1 else 0.0
        groups.setdefault((share, decay), []).append(tensor)
    return torch.optim.AdamW(
        [
            {"params": members, "weight_decay": decay, "share": share}
            for (share, decay), members in groups.items()
        ],
        lr=settings.learning_rate,
        betas=(0.9, 0.98),
        fused=True,
    )


def _share(name: str, settings: TrainingSettings) -> float:
    """Rate of a tensor as a share of the peak rate."""
    if "embeddings.weight" in name:
        return settings.embedding_rate
    return settings.map_rate if name.startswith(TRAINED_MAP) else 1.0


def set_learning_rate(
    optimizer: torch.optim.Optimizer, settings: TrainingSettings, tokens_seen: int
) -> float:
    """Linear warm-up, then a cosine to zero, over the share of tokens seen.

    Args:
        optimizer: From `build_optimizer`.
        settings: Peak rate, warm-up, and tokens in all.
        tokens_seen: Tokens seen before the step.

    Returns:
        The rate of the step; embeddings and map have their share of it.
    """
    done = tokens_seen / settings.tokens
    warmup = settings.warmup
    if done < warmup:
        factor = max(done, 1e-3) / warmup
    else:
        factor = 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))
    rate = settings.learning_rate * factor
    for group in optimizer.param_groups:
        group["lr"] = rate * group["share"]
    return rate
