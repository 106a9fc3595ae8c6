"""From the token vectors of a sentence to the vector that users take.

A teacher pools its token vectors. A student pools in the same way; where it is narrower than its
teacher, or its teacher has a Dense module, a linear map brings its vector to the teacher's, so that
both live in one space.
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


def pool(hidden: Tensor, attention_mask: Tensor, pooling: Pooling) -> Tensor:
    """One vector for each sentence, in fp32.

    Args:
        hidden: Last hidden states, [batch, tokens, hidden].
        attention_mask: 1 for tokens, 0 for padding at either end, [batch, tokens].
        pooling: How the teacher pools.

    Returns:
        [batch, hidden].
    """
    # In bfloat16 a sum over many tokens loses its last digits.
    with torch.autocast(hidden.device.type, enabled=False):
        if pooling is Pooling.CLS:
            return _at(hidden, attention_mask.argmax(1))
        if pooling is Pooling.LAST:
            from_the_end = attention_mask.flip(1).argmax(1)
            return _at(hidden, attention_mask.shape[1] - 1 - from_the_end)
        mask = attention_mask.unsqueeze(-1)
        if pooling is Pooling.MAX:
            return hidden.float().masked_fill(mask == 0, float("-inf")).amax(1)
        count = mask.sum(1).clamp(min=1).float()
        summed = (hidden.float() * mask).sum(1)
        return summed / (count if pooling is Pooling.MEAN else count.sqrt())


def _at(hidden: Tensor, places: Tensor) -> Tensor:
    """The vector of one token of each sentence, [batch, hidden]."""
    return hidden[torch.arange(len(hidden), device=hidden.device), places].float()


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
