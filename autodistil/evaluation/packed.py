"""Rows of tokens without their padding, which is a fifth of a batch and teaches nothing.

Everything but attention treats tokens one by one, so it runs on all of them in a row; attention
runs on rows of equal length together, without a mask.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from autodistil.models.primitives import rotate
from autodistil.spaces.embedding import Pooling
from autodistil.text.corpus import Batch


class Group(NamedTuple):
    """Rows of equal length that lie behind each other.

    Attributes:
        start: Their first token.
        rows: How many rows.
        length: Tokens of each.
    """

    start: int
    rows: int
    length: int

    def of(self, tokens: Tensor) -> Tensor:
        """The group's part of a tensor of all tokens, [rows, length, ...]."""
        part = tokens[self.start : self.start + self.rows * self.length]
        return torch.unflatten(part, 0, (self.rows, self.length))


@dataclass(frozen=True)
class PackedBatch:
    """A batch without padding, its rows ordered by length.

    Attributes:
        input_ids: [tokens].
        positions: Place of each token in its row, [tokens].
        groups: The rows by length, in the order of the tokens.
        order: For every row here the row of the batch that it was, [rows].
    """

    input_ids: Tensor
    positions: Tensor
    groups: tuple[Group, ...]
    order: Tensor

    @classmethod
    def of(cls, batch: Batch) -> "PackedBatch":
        """Pack a batch; rows without any token are left out."""
        mask = batch.attention_mask.bool()
        lengths = mask.sum(1)
        order = torch.argsort(lengths, stable=True)
        order = order[lengths[order] > 0]
        rows, positions = mask[order].nonzero(as_tuple=True)
        groups, start = [], 0
        found, counts = torch.unique_consecutive(lengths[order], return_counts=True)
        for length, count in zip(found.tolist(), counts.tolist(), strict=True):
            groups.append(Group(start, count, length))
            start += count * length
        return cls(batch.input_ids[order][rows, positions], positions, tuple(groups), order)

    def attend(
        self,
        projections: Tensor,
        heads: int,
        rope_theta: float | None = None,
        score_bias: Callable[[int], Tensor | None] = lambda length: None,
    ) -> Tensor:
        """Scaled dot product attention inside the rows.

        Args:
            projections: Queries, keys, and values, [tokens, 3, attention width].
            heads: Number of heads.
            rope_theta: Base of the rotation of queries and keys by their positions, if any.
            score_bias: What is added to the scores of rows of a length, [heads or 1, length,
                length].

        Returns:
            Context, [tokens, attention width].
        """
        context = torch.empty_like(projections[:, 0], memory_format=torch.contiguous_format)
        for group in self.groups:
            by_head = torch.unflatten(group.of(projections), -1, (heads, -1))
            query, key, value = by_head.transpose(1, 3).unbind(2)
            places = torch.arange(group.length, device=projections.device)
            query, key = (rotate(x, places, rope_theta) for x in (query, key))
            attended = F.scaled_dot_product_attention(
                query, key, value, attn_mask=score_bias(group.length)
            )
            group.of(context).copy_(attended.transpose(1, 2).flatten(2))
        return context

    def pool(self, hidden: Tensor, pooling: Pooling) -> Tensor:
        """Each row's token vectors pooled, in the order of the batch, [rows, hidden]."""
        parts = [_pool(group.of(hidden), pooling) for group in self.groups]
        return torch.cat(parts)[self.order.argsort()]


def _pool(hidden: Tensor, pooling: Pooling) -> Tensor:
    """Rows of equal length pooled, [rows, length, hidden] to [rows, hidden]."""
    if pooling is Pooling.CLS:
        return hidden[:, 0]
    if pooling is Pooling.LAST:
        return hidden[:, -1]
    if pooling is Pooling.MAX:
        return hidden.amax(1)
    if pooling is Pooling.MEAN_SQRT_LEN:
        return hidden.sum(1) / math.sqrt(hidden.shape[1])
    return hidden.mean(1)
