"""From the token vectors of a sentence to the vector that users take.

A teacher pools its token vectors. A student pools in the same way; where it is narrower than its
teacher, a linear map brings its vector to the teacher's width, so that both live in one space.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from autodistil.families.architecture import Architecture
from autodistil.spaces.embedding import Pooling
from autodistil.spaces.map_tensors import map_name

TRAINED_MAP = "map"
"""Name of the map that all students share while they are trained."""


def mean_pool(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """Mean of the token vectors of each sentence, padding left out, [batch, hidden]."""
    mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)


def pool(hidden: Tensor, attention_mask: Tensor, pooling: Pooling) -> Tensor:
    """One vector for each sentence, in fp32.

    Args:
        hidden: Last hidden states, [batch, tokens, hidden].
        attention_mask: 1 for tokens, 0 for padding, [batch, tokens].
        pooling: How the teacher pools.

    Returns:
        [batch, hidden].
    """
    # In bfloat16 a sum over many tokens loses its last digits.
    with torch.autocast(hidden.device.type, enabled=False):
        if pooling is Pooling.CLS:
            return hidden[:, 0].float()
        return mean_pool(hidden.float(), attention_mask)


def to_teacher_space(
    pooled: Tensor, tensors: Mapping[str, Tensor], architecture: Architecture
) -> Tensor:
    """A student's pooled vectors in the teacher's width.

    Args:
        pooled: [batch, hidden].
        tensors: Of the SuperLM; those of the student's own map, or of the one that all share while
            they are trained. Without either, a student is as wide as its teacher and needs none.
        architecture: The student.

    Returns:
        [batch, width of the teacher], in fp32.
    """
    for name in (map_name(architecture), TRAINED_MAP):
        if f"{name}.weight" in tensors:
            weight = tensors[f"{name}.weight"][:, : pooled.shape[-1]]
            with torch.autocast(pooled.device.type, enabled=False):
                return F.linear(pooled.float(), weight.float(), tensors[f"{name}.bias"].float())
    return pooled
