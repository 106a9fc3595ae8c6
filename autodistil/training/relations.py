"""Losses of task-agnostic distillation: self-attention relations and sentence similarity.

The relation loss compares token-to-token relations of queries, keys, and values of the last
layer (paper, section 3.2; MiniLMv2). Its three variants are the origin's KL divergence, the
paper's squared error of the softmaxed relations, and the squared error of the raw scores that
the paper's code computes.
"""

from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from autodistil.models.elastic import mean_pool
from autodistil.training.settings import RelationLoss


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


class RelationTarget(NamedTuple):
    """The teacher's relations on one batch, prepared once for all students of a step.

    Attributes:
        scores: Scaled dot products of QQ, KK, and VV, [3, batch, relation heads, tokens, tokens].
        weighted: Their softmax over keys times `row_weights`, same shape.
        row_weights: Share of a token row in the mean, 0 for padding, [batch, 1, tokens, 1].
        entropy: The part of the KL loss that does not depend on the student; a scalar.
    """

    scores: Tensor
    weighted: Tensor
    row_weights: Tensor
    entropy: Tensor


# Added to the scores of padded keys: their softmax is exactly 0, their logarithm still finite.
_PADDING = -1e4

_DOT_TERMS = 1 << 16


def relation_scores(
    layer: QueriesKeysValues,
    attention_mask: Tensor,
    relation_heads: int,
    split: Literal["contiguous", "strided"] = "contiguous",
) -> Tensor:
    """Relations of a layer's queries, keys, and values before the softmax.

    The vectors are concatenated over heads and split anew into relation heads, so that models
    with different numbers of heads can be compared.

    Args:
        layer: What a layer computed.
        attention_mask: 1 for tokens, 0 for padding, [batch, tokens].
        relation_heads: Number of relation heads; it must divide the attention width.
        split: Whether a relation head is a run of dimensions, or every so-many-th one.

    Returns:
        [3, batch, relation heads, tokens, tokens] in fp32.
    """
    vectors = torch.stack((layer.queries, layer.keys, layer.values))
    return _self_relations(vectors, attention_mask, relation_heads, split)


def hidden_scores(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """Cosines between the hidden states of tokens before the softmax, at a temperature of 0.1.

    Args:
        hidden: [batch, tokens, hidden].
        attention_mask: [batch, tokens].

    Returns:
        [1, batch, 1, tokens, tokens] in fp32, to be compared like the relations of a layer.
    """
    vectors = F.normalize(hidden.float(), dim=-1)[None] * (10 * hidden.shape[-1] ** 0.5) ** 0.5
    return _self_relations(vectors, attention_mask, 1, "contiguous")


def _self_relations(vectors: Tensor, attention_mask: Tensor, heads: int, split: str) -> Tensor:
    if split == "contiguous":
        by_head = torch.unflatten(vectors, -1, (heads, -1)).transpose(2, 3)
    else:
        by_head = torch.unflatten(vectors, -1, (-1, heads)).movedim(-1, 2)
    scores: Tensor = (by_head * by_head.shape[-1] ** -0.5) @ by_head.transpose(-1, -2)
    padding = (1 - attention_mask[None, :, None, None, :]) * _PADDING
    return scores.float() + padding


def relation_target(scores: Tensor, attention_mask: Tensor) -> RelationTarget:
    """Prepare the teacher's scores (from `relation_scores`) to be compared with students'."""
    log_probabilities = F.log_softmax(scores, dim=-1)
    rows = attention_mask[:, None, :, None].float()
    row_weights = rows / (rows.sum() * scores.shape[2])
    weighted = log_probabilities.exp().mul_(row_weights)
    entropy = _dot(weighted, log_probabilities)
    return RelationTarget(scores, weighted, row_weights, entropy)


def relation_loss(
    scores: Tensor,
    target: RelationTarget,
    attention_mask: Tensor,
    variant: RelationLoss = RelationLoss.KL,
) -> Tensor:
    """Relation loss of a batch, padding masked as row and as column; a scalar.

    KL is summed over keys and averaged over token rows and relation heads; the squared errors
    are averaged over the token pairs. All are summed over QQ, KK, and VV.

    Args:
        scores: The student's, from `relation_scores`.
        target: The teacher's, from `relation_target`.
        attention_mask: [batch, tokens].
        variant: How the two are compared.
    """
    if variant is RelationLoss.KL:
        loss: Tensor = _KullbackLeibler.apply(scores, target)  # type: ignore[no-untyped-call]  # torch's
        return loss
    mask = attention_mask.float()
    pairs = mask[:, None, :, None] * mask[:, None, None, :]
    if variant is RelationLoss.MSE_SOFTMAX:
        difference = F.softmax(scores, dim=-1) - F.softmax(target.scores, dim=-1)
    else:
        difference = scores - target.scores
    return (difference**2 * pairs).sum() / (pairs.sum() * scores.shape[2])


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Sum of products. In one go, fp32 would lose 4 parts in 10,000 of a loss over 128 tokens."""
    parts = [torch.split(x.flatten(), _DOT_TERMS) for x in (a, b)]
    dots = [torch.dot(*pair) for pair in zip(*parts, strict=True)]
    return torch.stack(dots).double().sum().to(a.dtype)


class _KullbackLeibler(torch.autograd.Function):
    """KL(teacher || student) over keys; its gradient is made in place with the value.

    Plain autograd keeps four tensors of the size of the scores per student, and reading and
    writing them is a third of a training step of a tiny SuperLM; this keeps one.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, target: RelationTarget) -> Tensor:
        log_probabilities = F.log_softmax(scores, dim=-1)
        loss = target.entropy - _dot(target.weighted, log_probabilities)
        gradient = log_probabilities.exp_().mul_(target.row_weights).sub_(target.weighted)
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0], None


def sentence_cosines(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """Cosine similarities between the mean-pooled vectors of a batch's sentences.

    Args:
        hidden: Last hidden states, [batch, tokens, hidden].
        attention_mask: [batch, tokens].

    Returns:
        [batch, batch] in fp32.
    """
    # In bfloat16 a cosine is off by up to 0.004, which a small temperature would multiply.
    with torch.autocast(hidden.device.type, enabled=False):
        pooled = F.normalize(mean_pool(hidden.float(), attention_mask), dim=-1)
        return pooled @ pooled.T


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
    included.

    Args:
        student: From `sentence_cosines`, [batch, batch].
        teacher: The same of the teacher.
    """
    others = ~torch.eye(len(student), dtype=torch.bool, device=student.device)
    wanted = teacher[others]
    return ((student[others] - wanted) ** 2).mean() / wanted.var().clamp_min(1e-6)


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
