"""What a student is trained to match, and how far it is from it, in one place for all who ask.

The last layer's self-attention relations (paper, section 3.2) and, beside them, the similarities of
sentences; further terms can be asked for in the settings.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

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
        relations: The relations of one layer, or of every layer of the teacher.
        cosines: Between the sentences of the batch, [batch, batch].
        similarity: Log-probabilities of the other sentences of the batch, [batch, batch].
        hidden: Relations between the last hidden states, if they are asked for.
        channels: Last hidden states in the SuperLM's order of channels, if they are asked for.
    """

    relations: tuple[RelationTarget, ...]
    cosines: Tensor
    similarity: Tensor
    hidden: RelationTarget | None
    channels: Tensor | None


class Losses(NamedTuple):
    """How far a student is from the target; scalars.

    Attributes:
        relation: Relation loss, averaged over the compared layers.
        similarity: Similarity loss.
        total: The weighted sum with all terms of the settings.
    """

    relation: Tensor
    similarity: Tensor
    total: Tensor


def compared_layers(settings: ObjectiveSettings, layers: int) -> list[int]:
    """The layers of a teacher of so many layers that the objective looks at; the last is always
    among them.
    """
    if settings.relation_layers == "every":
        return list(range(layers))
    return sorted({layers + settings.teacher_layer, layers - 1})


def make_target(
    settings: ObjectiveSettings,
    outputs: Sequence[Compared],
    attention_mask: Tensor,
    channels: Tensor | None = None,
) -> Target:
    """Prepare what the students of a step are to match.

    Args:
        settings: The objective.
        outputs: What the model to be matched computed in its `compared_layers`.
        attention_mask: 1 for tokens, 0 for padding, [batch, tokens].
        channels: The matched model's channel for every channel of the SuperLM, [hidden].
    """
    mask, hidden = attention_mask, outputs[-1].hidden
    compared = outputs if settings.relation_layers == "every" else outputs[:1]
    heads, split = settings.relation_heads, settings.relation_split
    relations = tuple(
        relation_target(relation_vectors(layer), mask, heads, split) for layer in compared
    )
    cosines = sentence_cosines(hidden, mask)
    return Target(
        relations,
        cosines,
        similarity_log_probabilities(cosines, settings.temperature),
        relation_target(hidden_vectors(hidden), mask, 1) if settings.hidden_weight else None,
        (hidden if channels is None else hidden[..., channels])
        if settings.channel_weight
        else None,
    )


def losses(
    settings: ObjectiveSettings,
    outputs: Sequence[Compared],
    target: Target,
    attention_mask: Tensor,
    teacher_layers: Sequence[int] = (),
) -> Losses:
    """Losses of one student on one batch.

    Args:
        settings: The objective.
        outputs: What the student's layers computed; only the last is needed to compare the last.
        target: From `make_target`.
        attention_mask: [batch, tokens].
        teacher_layers: If every layer is compared, for each of `outputs` the teacher's layer.
    """
    mask, hidden = attention_mask, outputs[-1].hidden
    if settings.relation_layers == "every":
        pairs = [(o, target.relations[t]) for o, t in zip(outputs, teacher_layers, strict=True)]
    else:
        pairs = [(outputs[-1], target.relations[-1])]
    relations = [
        relation_loss(relation_vectors(layer), wanted, settings.relation_loss)
        for layer, wanted in pairs
    ]
    relation = torch.stack(relations).mean()
    cosines = sentence_cosines(hidden, mask)
    student = similarity_log_probabilities(cosines, settings.temperature)
    similarity = similarity_loss(student, target.similarity)
    total = settings.relation_weight * relation + settings.similarity_weight * similarity
    if settings.cosine_weight:
        total = total + settings.cosine_weight * cosine_loss(cosines, target.cosines)
    if target.hidden is not None:
        far = relation_loss(hidden_vectors(hidden), target.hidden)
        total = total + settings.hidden_weight * far
    if target.channels is not None:
        wanted = target.channels[..., : hidden.shape[-1]]
        error = ((hidden.float() - wanted.float()) ** 2).mean(-1)
        # Relative to the size of what is matched, so that the weight means the same everywhere.
        size = (wanted.float() ** 2).mean(-1)
        valid = mask.to(error.dtype)
        total = total + settings.channel_weight * (error * valid).sum() / (size * valid).sum()
    return Losses(relation, similarity, total)
