"""Losses of task-agnostic distillation: self-attention relations and sentence similarity.

The relation loss compares token-to-token relations of queries, keys, and values of the last
layer (paper, section 3.2; MiniLMv2). Its three variants are the origin's KL divergence, the
paper's squared error of the softmaxed relations, and the squared error of the raw scores that
the paper's code computes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from autodistil.training.settings import RelationLoss, RelationSplit

HIDDEN_SCALE = 10.0
"""Inverse temperature of the cosines between hidden states."""


class QueriesKeysValues(Protocol):
    """A layer's queries, keys, and values of all heads, [batch, tokens, attention width] each."""

    @property
    def queries(self) -> Tensor:
        """Queries."""

    @property
    def keys(self) -> Tensor:
        """Keys."""

    @property
    def values(self) -> Tensor:
        """Values."""


@dataclass(frozen=True)
class RelationTarget:
    """The teacher's relations on one batch, prepared once for all students of a step.

    Attributes:
        vectors: What is related, [relations, batch, tokens, width].
        attention_mask: 1 for tokens, 0 for padding, [batch, tokens].
        heads: Number of relation heads.
        split: How the vectors are split into relation heads.
        weighted: Softmax over keys of the scores times `row_weights`,
            [relations, batch, heads, tokens, tokens].
        row_weights: Share of a token row in the mean, 0 for padding, [batch, 1, tokens, 1].
        entropy: The part of the KL loss that does not depend on the student; a scalar.
    """

    vectors: Tensor
    attention_mask: Tensor
    heads: int
    split: RelationSplit
    weighted: Tensor
    row_weights: Tensor
    entropy: Tensor

    @cached_property
    def scores(self) -> Tensor:
        """From `relation_scores`; only the squared errors need it."""
        return relation_scores(self.vectors, self.attention_mask, self.heads, self.split)


# Added to the scores of padded keys: their softmax is exactly 0, their logarithm still finite.
_PADDING = -1e4

_DOT_TERMS = 1 << 16

# Scores worked on at once: on a CPU few enough for its caches, since most of the time goes into
# moving them; elsewhere enough to fill the device.
_CPU_CHUNK, _DEVICE_CHUNK = 1 << 19, 1 << 25


def relation_vectors(layer: QueriesKeysValues) -> Tensor:
    """What the relations of a layer relate: its queries, keys, and values.

    Returns:
        [3, batch, tokens, attention width].
    """
    return torch.stack((layer.queries, layer.keys, layer.values))


def hidden_vectors(hidden: Tensor) -> Tensor:
    """Hidden states such that their scores in one relation head are cosines times `HIDDEN_SCALE`.

    Args:
        hidden: [batch, tokens, hidden].

    Returns:
        [1, batch, tokens, hidden] in fp32.
    """
    scale: float = (HIDDEN_SCALE * hidden.shape[-1] ** 0.5) ** 0.5
    return F.normalize(hidden.float(), dim=-1)[None] * scale


def relation_scores(
    vectors: Tensor, attention_mask: Tensor, heads: int, split: RelationSplit = "contiguous"
) -> Tensor:
    """Scaled dot products between the vectors of tokens, before the softmax.

    Vectors concatenated over attention heads are split anew into relation heads, so that models
    with different numbers of heads can be compared.

    Args:
        vectors: From `relation_vectors` or `hidden_vectors`, [relations, batch, tokens, width].
        attention_mask: 1 for tokens, 0 for padding, [batch, tokens].
        heads: Number of relation heads; it must divide the width.
        split: Whether a relation head is a run of dimensions, or every so-many-th one.

    Returns:
        [relations, batch, heads, tokens, tokens] in at least fp32.
    """
    products = _products(split_heads(vectors, heads, split).transpose(-3, -2))
    return products.to(_precise(vectors)) + _padding(attention_mask)


def split_heads(vectors: Tensor, heads: int, split: RelationSplit) -> Tensor:
    """Vectors, [..., width], split into relation heads, [..., heads, width of a head]."""
    if split == "contiguous":
        return torch.unflatten(vectors, -1, (heads, -1))
    return torch.unflatten(vectors, -1, (-1, heads)).transpose(-1, -2)


def _join_heads(vectors: Tensor, split: RelationSplit) -> Tensor:
    """What `split_heads` does, undone."""
    return (vectors if split == "contiguous" else vectors.transpose(-1, -2)).flatten(-2)


def _products(by_head: Tensor) -> Tensor:
    products: Tensor = (by_head * by_head.shape[-1] ** -0.5) @ by_head.transpose(-1, -2)
    return products


def _precise(vectors: Tensor) -> torch.dtype:
    return torch.promote_types(vectors.dtype, torch.float32)


def _padding(attention_mask: Tensor) -> Tensor:
    """What padded keys add to the scores, [batch, 1, 1, tokens]."""
    padding: Tensor = (1 - attention_mask[:, None, None, :]) * _PADDING
    return padding


class _Chunk(NamedTuple):
    """Relations of a few rows of a batch; the last two hold only until the next chunk.

    Attributes:
        relation: Index of the relation.
        rows: Which rows of the batch.
        by_head: Their vectors, [rows, heads, tokens, width of a head].
        scores: As of `relation_scores`, [rows, heads, tokens, tokens].
        log_probabilities: Log-softmax of the scores over keys, same shape.
    """

    relation: int
    rows: slice
    by_head: Tensor
    scores: Tensor
    log_probabilities: Tensor


def _chunks(
    vectors: Tensor, attention_mask: Tensor, heads: int, split: RelationSplit
) -> Iterator[_Chunk]:
    """The relations of a batch, a few rows at a time, in the same memory."""
    batch, tokens = attention_mask.shape
    numbers = _CPU_CHUNK if vectors.device.type == "cpu" else _DEVICE_CHUNK
    size = min(batch, max(1, numbers // (heads * tokens**2)))
    buffers = vectors.new_empty(2, size, heads, tokens, tokens, dtype=_precise(vectors))
    padding = _padding(attention_mask)
    for relation, related in enumerate(vectors):
        for start in range(0, batch, size):
            rows = slice(start, min(start + size, batch))
            scores, log_probabilities = buffers[:, : rows.stop - start]
            by_head = split_heads(related[rows], heads, split).transpose(-3, -2).contiguous()
            scores.copy_(_products(by_head)).add_(padding[rows])
            torch.log_softmax(scores, -1, out=log_probabilities)
            yield _Chunk(relation, rows, by_head, scores, log_probabilities)


@torch.no_grad()
def relation_target(
    vectors: Tensor, attention_mask: Tensor, heads: int, split: RelationSplit = "contiguous"
) -> RelationTarget:
    """Prepare the teacher's relations to be compared with students'; arguments as of
    `relation_scores`.
    """
    rows = attention_mask[:, None, :, None].to(_precise(vectors))
    row_weights = rows / (rows.sum() * heads)
    batch, tokens = attention_mask.shape
    weighted = row_weights.new_empty(len(vectors), batch, heads, tokens, tokens)
    entropies = []
    for chunk in _chunks(vectors, attention_mask, heads, split):
        own = weighted[chunk.relation, chunk.rows]
        torch.softmax(chunk.scores, -1, out=own).mul_(row_weights[chunk.rows])
        entropies.append(_dot(own, chunk.log_probabilities))
    entropy = torch.stack(entropies).sum()
    return RelationTarget(vectors, attention_mask, heads, split, weighted, row_weights, entropy)


def relation_loss(
    vectors: Tensor, target: RelationTarget, variant: RelationLoss = RelationLoss.KL
) -> Tensor:
    """Relation loss of a batch, padding masked as row and as column; a scalar.

    KL is summed over keys and averaged over token rows and relation heads; the squared errors
    are averaged over the token pairs. All are summed over the relations (QQ, KK, and VV).

    Args:
        vectors: The student's, [relations, batch, tokens, width]; the target's number of relation
            heads must divide their width.
        target: The teacher's, from `relation_target`.
        variant: How the two are compared.
    """
    if variant is RelationLoss.KL:
        loss: Tensor = _KullbackLeibler.apply(vectors, target)  # type: ignore[no-untyped-call]  # torch's
        return loss
    scores = relation_scores(vectors, target.attention_mask, target.heads, target.split)
    mask = target.attention_mask.float()
    pairs = mask[:, None, :, None] * mask[:, None, None, :]
    if variant is RelationLoss.MSE_SOFTMAX:
        difference = F.softmax(scores, dim=-1) - F.softmax(target.scores, dim=-1)
    else:
        difference = scores - target.scores
    return (difference**2 * pairs).sum() / (pairs.sum() * target.heads)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Sum of products in fp64. In one go, fp32 would lose 4 parts in 10,000 of a loss over 128
    tokens.
    """
    parts = [torch.split(x.flatten(), _DOT_TERMS) for x in (a, b)]
    dots = [torch.dot(*pair) for pair in zip(*parts, strict=True)]
    return torch.stack(dots).double().sum()


class _KullbackLeibler(torch.autograd.Function):
    """KL(teacher || student) over keys; its gradient is made with the value, chunk by chunk.

    Plain autograd keeps several tensors of the size of the scores per student, and writing and
    reading them takes longer than a tiny student itself; this keeps one of the size of the vectors.
    """

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, target: RelationTarget) -> Tensor:
        gradient = torch.empty_like(vectors) if ctx.needs_input_grad[0] else None
        dots = []
        for chunk in _chunks(vectors, target.attention_mask, target.heads, target.split):
            weighted = target.weighted[chunk.relation, chunk.rows]
            dots.append(_dot(weighted, chunk.log_probabilities))
            if gradient is None:
                continue
            by_head = chunk.by_head
            # Not `exp`, which is several times slower at the logarithms of padding; into their
            # memory, since they are done with.
            probabilities = torch.softmax(chunk.scores, -1, out=chunk.log_probabilities)
            by_score = probabilities.mul_(target.row_weights[chunk.rows]).sub_(weighted)
            by_score = by_score.to(by_head.dtype)
            # A token's vector is in its own row of scores, and in its column of all others'.
            by_vector = (by_score @ by_head).add_(by_score.transpose(-1, -2) @ by_head)
            by_vector *= by_head.shape[-1] ** -0.5
            joined = _join_heads(by_vector.transpose(-3, -2), target.split)
            gradient[chunk.relation, chunk.rows] = joined
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return (target.entropy - torch.stack(dots).sum()).to(_precise(vectors))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0].to(gradient.dtype), None


def sentence_cosines(vectors: Tensor) -> Tensor:
    """Cosine similarities between the vectors of a batch's sentences.

    Args:
        vectors: [batch, width].

    Returns:
        [batch, batch] in fp32.
    """
    # In bfloat16 a cosine is off by up to 0.004, which a small temperature would multiply.
    with torch.autocast(vectors.device.type, enabled=False):
        directions = F.normalize(vectors.float(), dim=-1)
        return directions @ directions.T


def similarity_log_probabilities(cosines: Tensor, temperature: float) -> Tensor:
    """Log-softmax over the other sentences of a batch of their cosine similarity.

    Args:
        cosines: From `sentence_cosines`, [batch, batch].
        temperature: Divisor of the cosines.

    Returns:
        [batch, batch]; the diagonal is minus infinity.
    """
    scaled = (cosines / temperature).fill_diagonal_(float("-inf"))
    return F.log_softmax(scaled, dim=-1)


def cosine_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared error of the cosines between different sentences, as a share of the teacher's
    variance; a scalar.

    Unlike `similarity_loss`, it asks for the cosines themselves, those of unrelated sentences
    included. Two sentences have a single cosine and no variance: its squared error itself.

    Args:
        student: From `sentence_cosines`, [batch, batch].
        teacher: The same of the teacher.
    """
    others = ~torch.eye(len(student), dtype=torch.bool, device=student.device)
    wanted = teacher[others]
    error = ((student[others] - wanted) ** 2).mean()
    return error / wanted.var().clamp_min(1e-6) if len(student) > 2 else error


def similarity_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """KL between two in-batch similarity distributions, averaged over sentences; a scalar.

    The relation loss never reaches the last FFN, nor asks for useful sentence vectors; this does,
    without labels and without a projection between the two widths.

    Args:
        student: From `similarity_log_probabilities`, [batch, batch].
        teacher: The same of the teacher.
    """
    diagonal = torch.eye(len(student), dtype=torch.bool, device=student.device)
    difference = (teacher - student).masked_fill(diagonal, 0.0)
    return (teacher.exp() * difference).sum(-1).mean()
