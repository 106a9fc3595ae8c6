"""What a batch says about a student beside a teacher: `autodistil.evaluation.signals`.

The same losses as in `autodistil.training.objective`, arranged for measuring many students: no
padding, no gradients, and relation matrices a few at a time, so that they never leave the
processor's caches.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from autodistil.correlation import spearman
from autodistil.errors import InvalidInput
from autodistil.evaluation.packed import PackedBatch
from autodistil.evaluation.shared_forward import LastLayer
from autodistil.training.relations import (
    HIDDEN_SCALE,
    similarity_log_probabilities,
    similarity_loss,
    split_heads,
)
from autodistil.training.settings import ObjectiveSettings

_ELEMENTS = 1 << 17
"""Of the relation matrices that are made at a time: 512 KB."""

Pairs = tuple[Tensor, Tensor]
"""First and second row of each pair."""


class SentenceComparison:
    """A teacher's sentence vectors of a batch, to compare students' with.

    Args:
        vectors: The teacher's, [rows, width].
        temperature: Of the similarity loss.
        neighbours: How many rows of the batch follow each other in the text.
    """

    def __init__(self, vectors: Tensor, temperature: float, neighbours: int) -> None:
        self._vectors = F.normalize(vectors, dim=-1)
        self._temperature = temperature
        self._neighbours, self._strangers = sentence_pairs(len(vectors), neighbours)
        self._cosines = self._vectors @ self._vectors.T
        self._similarity = similarity_log_probabilities(self._cosines, temperature)

    def compare(self, vectors: Tensor, in_teacher_space: bool) -> dict[str, float]:
        """Signals of a student.

        Args:
            vectors: The student's, [rows, width].
            in_teacher_space: Whether they can be compared with the teacher's one by one.

        Raises:
            InvalidInput: The student computed something that is no number.
        """
        if not vectors.isfinite().all():
            raise InvalidInput(
                "A student's outputs on held-out text are not finite numbers: the weights of the "
                "SuperLM are of no use. Train it anew with a lower learning rate, or in fp32."
            )
        directions = F.normalize(vectors, dim=-1)
        cosines = directions @ directions.T
        similarity = similarity_log_probabilities(cosines, self._temperature)
        # Of two equal models, rounding may make a KL or a distance a hair less than 0.
        found = {
            "similarity_loss": max(0.0, similarity_loss(similarity, self._similarity).item()),
            "neighbour_agreement": self._agreement(cosines, self._neighbours),
            "stranger_agreement": self._agreement(cosines, self._strangers),
        }
        if in_teacher_space:
            distance = 1 - float((directions * self._vectors).sum(-1).mean())
            found["vector_distance"] = max(0.0, distance)
        return found

    def _agreement(self, cosines: Tensor, pairs: Pairs) -> float:
        if len(pairs[0]) < 2:
            return 0.0
        found = spearman(cosines[pairs].double().numpy(), self._cosines[pairs].double().numpy())
        return min(1.0, max(-1.0, found))  # rounding may make it a hair more than 1


class RelationComparison:
    """A teacher's relations between the tokens of a batch, to compare students' with.

    Args:
        batch: The rows, in the tokens that students read as well.
        last: The teacher's last layer.
        objective: Relation heads and their split.
    """

    def __init__(self, batch: PackedBatch, last: LastLayer, objective: ObjectiveSettings) -> None:
        self._objective = objective
        self._relations = _Relations(batch, self._by_head(last.projections))
        self._hidden_relations = _Relations(batch, _hidden_vectors(last.hidden), HIDDEN_SCALE)

    def compare(self, last: LastLayer) -> dict[str, float]:
        """Signals of a student from its last layer."""
        hidden = _hidden_vectors(last.hidden)
        return {
            "relation_loss": max(0.0, self._relations.loss(self._by_head(last.projections))),
            "hidden_relation_loss": max(0.0, self._hidden_relations.loss(hidden)),
        }

    def _by_head(self, projections: Tensor) -> Tensor:
        """Vectors whose products are the relations, [tokens, 3, relation heads, width]."""
        objective = self._objective
        return split_heads(projections, objective.relation_heads, objective.relation_split)


def _hidden_vectors(hidden: Tensor) -> Tensor:
    return F.normalize(hidden, dim=-1)[:, None, None]


def sentence_pairs(rows: int, neighbours: int) -> tuple[Pairs, Pairs]:
    """Pairs of rows to compare: all neighbours in the text, and at most as many strangers.

    Args:
        rows: Rows of the batch.
        neighbours: Rows of the batch that follow each other, counted from the first one.

    Returns:
        Neighbours and strangers.
    """
    first, second = torch.triu_indices(rows, rows, offset=1)
    near = first // neighbours == second // neighbours
    strangers = (~near).nonzero()[:, 0]
    count = int(near.sum())
    if 0 < count < len(strangers):
        # Evenly spaced over the list: no row is left out, and no randomness is needed.
        places = np.linspace(0, len(strangers) - 1, count).astype(int)
        strangers = strangers[torch.from_numpy(places)]
    return (first[near], second[near]), (first[strangers], second[strangers])


class _Relations:
    """Softmaxed relations of a teacher: the dot products of vectors of the same row and head.

    Args:
        batch: The rows.
        vectors: [tokens, kinds, heads, width].
        scale: Factor of the products; 1 / sqrt(width) of each model by default.
    """

    def __init__(self, batch: PackedBatch, vectors: Tensor, scale: float | None = None) -> None:
        self._batch, self._scale = batch, scale
        logs = [_log_relations(part) for part in self._parts(vectors)]
        self._probabilities = [part.exp() for part in logs]
        self._entropy = _dot(self._probabilities, logs)
        self._count = len(batch.input_ids) * vectors.shape[2]

    def loss(self, vectors: Tensor) -> float:
        """KL divergence of a student's relations, a mean over tokens and heads, summed over kinds.

        Args:
            vectors: The student's, [tokens, kinds, heads, width].
        """
        logs = (_log_relations(part) for part in self._parts(vectors))
        return (self._entropy - _dot(self._probabilities, logs)) / self._count

    def _parts(self, vectors: Tensor) -> Iterator[Tensor]:
        """Vectors of one row, kind, and head together, a few such sets at a time.

        Args:
            vectors: [tokens, kinds, heads, width].

        Yields:
            [sets, length, width], scaled; the products inside the sets are about `_ELEMENTS`.
        """
        scale = self._scale or vectors.shape[-1] ** -0.5
        for group in self._batch.groups:
            by_set = group.of(vectors).permute(0, 2, 3, 1, 4)
            sets = torch.empty(by_set.shape, dtype=by_set.dtype, device=by_set.device)
            torch.mul(by_set, scale**0.5, out=sets)  # rearranged in the same go
            yield from torch.split(sets.flatten(0, 2), max(1, _ELEMENTS // group.length**2))


def _log_relations(vectors: Tensor) -> Tensor:
    return torch.log_softmax(torch.bmm(vectors, vectors.transpose(1, 2)), -1)


def _dot(left: Iterable[Tensor], right: Iterable[Tensor]) -> float:
    """Sum of the products of two lists of tensors, those of each pair summed apart."""
    dots = [torch.dot(a.flatten(), b.flatten()) for a, b in zip(left, right, strict=True)]
    return torch.stack(dots).double().sum().item()
