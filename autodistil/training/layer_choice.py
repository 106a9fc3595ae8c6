"""Which layers of a teacher a student of each depth runs (paper, section 3.2, spaces them evenly).

Depths are nested: the layers of a depth are among those of the next, so that none is trained for
one depth alone. All depths keep the last layer, whose relations the loss compares.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from autodistil.errors import InvalidInput
from autodistil.families.architecture import Architecture
from autodistil.models.elastic import ElasticEncoder
from autodistil.text.corpus import Batch
from autodistil.training.settings import StartSettings

Embed = Callable[[Tensor, Tensor], Tensor]
"""Last hidden states [batch, tokens, hidden] and attention mask [batch, tokens] to sentence vectors
[batch, width]."""

_RANKING_BATCHES = 4  # about 6,000 tokens; ranks agree with those of four times as many


def order_layers(
    settings: StartSettings,
    encoder: ElasticEncoder,
    teacher: Architecture,
    batches: list[Batch],
    embed: Embed,
) -> list[int]:
    """The teacher's layers from the most to the least needed; a student of depth d runs the first d
    of them, in their own order. The last layer comes first.

    Args:
        settings: How the layers are ordered.
        encoder: The teacher.
        teacher: Its sizes.
        batches: Calibration text, to measure on.
        embed: The teacher's sentence vectors of its last hidden states.

    Raises:
        InvalidInput: The settings name layers that the teacher does not have.
    """
    last = teacher.layers - 1
    always = [last, *(layer for layer in encoder.encoder.kept_first if layer != last)]
    if isinstance(settings.layers, tuple):
        named = list(settings.layers)
        if len(set(named)) != len(named) or not set(named) <= set(range(last + 1)):
            raise InvalidInput(f"start.layers must be different layers from 0 to {last}.")
        if named[: len(always)] != always:
            begin = ", ".join(map(str, always))
            raise InvalidInput(
                f"start.layers must begin with the layers that all students keep: {begin}."
            )
        return named
    if settings.layers == "first":
        ranked = [last, *range(last)]
    elif settings.layers == "spaced":
        ranked = _spaced(last)
    else:
        ranked = _measured(encoder, teacher, batches[:_RANKING_BATCHES], embed)
    return always + [layer for layer in ranked if layer not in always]


def _spaced(last: int) -> list[int]:
    """Again and again the layer that lies farthest from those that are kept."""
    order = [last]
    while rest := [layer for layer in range(last) if layer not in order]:
        order.append(max(rest, key=lambda layer: min(abs(layer - kept) for kept in order)))
    return order


@torch.inference_mode()
def _measured(
    encoder: ElasticEncoder, teacher: Architecture, batches: list[Batch], embed: Embed
) -> list[int]:
    """Greedy: again and again the layer goes without which the sentence vectors stay nearest to the
    teacher's.
    """

    def centred(hidden: Tensor, batch: Batch) -> Tensor:
        """Sentence vectors around their mean, [batch, width]."""
        vectors = embed(encoder.end(hidden), batch.attention_mask)
        return vectors - vectors.mean(0)

    kept, first = list(range(teacher.layers)), encoder.encoder.kept_first
    wanted: list[Tensor] = []
    dropped: list[int] = []
    while agreement := {layer: 0.0 for layer in kept[:-1] if layer not in first}:
        for number, batch in enumerate(batches):
            before = _run(encoder, teacher, batch, kept)
            if len(wanted) == number:
                wanted.append(centred(before[-1], batch))
            for layer in agreement:
                position = kept.index(layer)
                # All that comes before the dropped layer was run already.
                rest = _run(encoder, teacher, batch, kept[position + 1 :], before[position])
                found = centred(rest[-1], batch)
                agreement[layer] += float(F.cosine_similarity(found, wanted[number]).mean())
        least = max(agreement, key=lambda layer: agreement[layer])
        kept.remove(least)
        dropped.append(least)
    return [*kept, *reversed(dropped)]


def _run(
    encoder: ElasticEncoder,
    teacher: Architecture,
    batch: Batch,
    layers: list[int],
    hidden: Tensor | None = None,
) -> list[Tensor]:
    """Hidden states before the first of `layers` and after each of them."""
    mask = batch.attention_mask[:, None, None, :].bool()
    states = [encoder.embed(batch.input_ids, teacher.hidden) if hidden is None else hidden]
    for layer in layers:
        states.append(encoder.layer(states[-1], mask, layer, teacher).hidden)
    return states
