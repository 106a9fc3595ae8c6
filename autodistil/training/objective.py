"""What a student is trained to match, and how far it is from it, in one place for all who ask.

Of a sentence embedder, its sentence vectors: the vector that users take is the vector that students
learn, through a linear map where their width is another (the recipe is known as LEAF). Of any other
teacher, the last layer's self-attention relations (paper, section 3.2) and the similarities of
sentences. Further terms can be asked for in the settings.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from autodistil.training.relations import (
    QueriesKeysValues,
    RelationTarget,
    cosine_loss,
    hidden_vectors,
    relation_loss,
    relation_target,
    relation_vectors,
    sentence_cosines,
    similarity_log_probabilities,
    similarity_loss,
)
from autodistil.training.settings import ObjectiveSettings


class Compared(QueriesKeysValues, Protocol):
    """What is compared of a layer: its queries, keys, values, and output."""

    @property
    def hidden(self) -> Tensor:
        """Output of the layer, [batch, tokens, hidden]."""


class Target(NamedTuple):
    """What students are to match on one batch.

    Attributes:
        vectors: The teacher's sentence vectors, [batch, width], if they are asked for.
        centre: The mean of the teacher's sentence vectors, [width], if they are to be centred.
        relations: The relations of one layer, or of every layer of the teacher.
        cosines: Between the sentences of the batch, [batch, batch].
        similarity: Log-probabilities of the other sentences of the batch, [batch, batch].
        hidden: Relations between the last hidden states, if they are asked for.
        channels: Last hidden states in the SuperLM's order of channels, if they are asked for.
    """

    vectors: Tensor | None
    centre: Tensor | None
    relations: tuple[RelationTarget, ...]
    cosines: Tensor
    similarity: Tensor
    hidden: RelationTarget | None
    channels: Tensor | None


Losses = dict[str, Tensor]
"""How far a student is from the target, a scalar for each term with a weight."""


def _weights(settings: ObjectiveSettings) -> dict[str, float]:
    """The weight of every term, in the order of `losses`."""
    return {
        "vector": settings.vector_weight,
        "cosine": settings.cosine_weight,
        "similarity": settings.similarity_weight,
        "relation": settings.relation_weight,
        "hidden": settings.hidden_weight,
        "channel": settings.channel_weight,
    }


def active_terms(settings: ObjectiveSettings) -> list[str]:
    """The terms that `losses` returns: those with a weight."""
    return [name for name, weight in _weights(settings).items() if weight]


def total(settings: ObjectiveSettings, found: Losses) -> Tensor:
    """The weighted sum of the terms; a scalar."""
    weights = _weights(settings)
    return torch.stack([weights[name] * loss for name, loss in found.items()]).sum()


def compared_layers(settings: ObjectiveSettings, layers: int) -> list[int]:
    """The layers of a teacher of so many layers that the objective looks at; the last is always
    among them.
    """
    if settings.relation_layers == "every":
        return list(range(layers))
    return sorted({layers + settings.teacher_layer, layers - 1})


def make_target(
    settings: ObjectiveSettings,
    attention_mask: Tensor,
    vectors: Tensor,
    outputs: Sequence[Compared] = (),
    channels: Tensor | None = None,
    centre: Tensor | None = None,
) -> Target:
    """Prepare what the students of a step are to match.

    Args:
        settings: The objective.
        attention_mask: 1 for tokens, 0 for padding, [batch, tokens].
        vectors: The teacher's sentence vectors, [batch, width]; of length 1 if they are matched.
        outputs: What the teacher computed in its `compared_layers`; not needed if only sentence
            vectors are compared.
        channels: The teacher's channel for every channel of the SuperLM, [hidden].
        centre: Their mean over the text, [width].
    """
    mask = attention_mask
    compared = outputs if settings.relation_layers == "every" else outputs[:1]
    heads, split = settings.relation_heads, settings.relation_split
    relations = tuple(
        relation_target(relation_vectors(layer), mask, heads, split)
        for layer in (compared if settings.relation_weight else ())
    )
    cosines = sentence_cosines(vectors)
    hidden = outputs[-1].hidden if outputs else None
    related = channel = None
    if hidden is not None and settings.hidden_weight:
        related = relation_target(hidden_vectors(hidden), mask, 1)
    if hidden is not None and settings.channel_weight:
        channel = hidden if channels is None else hidden[..., channels]
    return Target(
        vectors if settings.vector_weight else None,
        centre if settings.centred else None,
        relations,
        cosines,
        similarity_log_probabilities(cosines, settings.temperature),
        related,
        channel,
    )


def losses(
    settings: ObjectiveSettings,
    outputs: Sequence[Compared],
    vectors: Tensor,
    target: Target,
    attention_mask: Tensor,
    teacher_layers: Sequence[int] = (),
) -> Losses:
    """Losses of one student on one batch.

    Args:
        settings: The objective.
        outputs: What the student's layers computed; only the last is needed to compare the last.
        vectors: The student's sentence vectors, in the teacher's width if they are compared with
            the teacher's, [batch, width].
        target: From `make_target`.
        attention_mask: [batch, tokens].
        teacher_layers: If every layer is compared, for each of `outputs` the teacher's layer.
    """
    mask, hidden = attention_mask, outputs[-1].hidden
    found: Losses = {}
    if target.vectors is not None:
        found["vector"] = vector_loss(vectors, target.vectors, target.centre)
    if settings.cosine_weight or settings.similarity_weight:
        cosines = sentence_cosines(vectors)
        alone = 0 * vectors.sum() if len(vectors) == 1 else None  # like no other
        if settings.cosine_weight:
            found["cosine"] = cosine_loss(cosines, target.cosines) if alone is None else alone
        if settings.similarity_weight and alone is not None:
            found["similarity"] = alone
        elif settings.similarity_weight:
            student = similarity_log_probabilities(cosines, settings.temperature)
            found["similarity"] = similarity_loss(student, target.similarity)
    if target.relations:
        if settings.relation_layers == "every":
            pairs = [(o, target.relations[t]) for o, t in zip(outputs, teacher_layers, strict=True)]
        else:
            pairs = [(outputs[-1], target.relations[-1])]
        found["relation"] = torch.stack(
            [
                relation_loss(relation_vectors(layer), wanted, settings.relation_loss)
                for layer, wanted in pairs
            ]
        ).mean()
    if target.hidden is not None:
        found["hidden"] = relation_loss(hidden_vectors(hidden), target.hidden)
    if target.channels is not None:
        wanted = target.channels[..., : hidden.shape[-1]]
        error = ((hidden.float() - wanted.float()) ** 2).mean(-1)
        # Relative to the size of what is matched, so that the weight means the same everywhere.
        size = (wanted.float() ** 2).mean(-1)
        valid = mask.to(error.dtype)
        found["channel"] = (error * valid).sum() / (size * valid).sum()
    return found


def vector_loss(vectors: Tensor, wanted: Tensor, centre: Tensor | None = None) -> Tensor:
    """1 - cosine between a student's sentence vectors and the teacher's, a mean; a scalar.

    Args:
        vectors: The student's, [batch, width].
        wanted: The teacher's, of length 1, same shape.
        centre: The mean of the teacher's, [width], which is taken out of both.
    """
    found = F.normalize(vectors.float(), dim=-1)
    wanted = wanted.float()
    if centre is not None:
        found, wanted = found - centre, wanted - centre
    return 1 - F.cosine_similarity(found, wanted, dim=-1).mean()
