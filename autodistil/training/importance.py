"""How much every part of a teacher matters, measured on a few thousand tokens of text.

The paper names importance as future work; DynaBERT and Minitron order parts by it before cutting.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from autodistil.families.architecture import Architecture
from autodistil.models.elastic import ElasticEncoder
from autodistil.models.primitives import weight_of
from autodistil.text.corpus import Batch
from autodistil.training.settings import ChannelMeasure


@dataclass(frozen=True)
class Importance:
    """Importance of every part; larger is more important.

    Attributes:
        channels: Mean magnitude of the residual stream, [hidden].
        covariance: Of the channels, summed over the layers, [hidden, hidden]; None if the
            measure of the channels does not ask for it.
        heads: Mean norm of what a head adds to the residual stream, [layers, heads].
        neurons: Mean norm of what a neuron adds to it, [layers, intermediate].
        query_key: Second moments of each head's queries plus keys, [layers, heads, width, width].
        context: Second moments of each head's context, same shape.
    """

    channels: Tensor
    covariance: Tensor | None
    heads: Tensor
    neurons: Tensor
    query_key: Tensor
    context: Tensor


@torch.inference_mode()
def measure_importance(
    encoder: ElasticEncoder, teacher: Architecture, batches: list[Batch], measure: ChannelMeasure
) -> Importance:
    """Run the teacher over calibration text and measure all its parts.

    Args:
        encoder: The teacher.
        teacher: Its sizes.
        batches: Calibration text.
        measure: How channels will be ordered by `order_channels`.
    """
    tensors, family = encoder.tensors(), encoder.encoder
    layers, heads, width = teacher.layers, teacher.heads, teacher.head_width
    channels = torch.zeros(teacher.hidden)
    covariance = None
    if measure in ("variance", "columns"):
        covariance = torch.zeros(teacher.hidden, teacher.hidden)
    head_scores, neurons = torch.zeros(layers, heads), torch.zeros(layers, teacher.intermediate)
    query_key = torch.zeros(layers, heads, width, width)
    context = torch.zeros(layers, heads, width, width)
    for batch in batches:
        valid = batch.attention_mask.bool()
        hidden = encoder.embed(batch.input_ids, teacher.hidden)
        states = [hidden]
        for layer in range(layers):
            output = encoder.layer(hidden, valid[:, None, None, :], layer, teacher)
            hidden = output.hidden
            states += [output.attended, hidden]
            projection = weight_of(tensors, family.block(layer).attention_output)
            split = torch.unflatten(output.context[valid], -1, (heads, width))
            blocks = torch.unflatten(projection, 1, (heads, width))
            added = torch.einsum("nhw,dhw->nhd", split, blocks)
            head_scores[layer] += added.norm(dim=-1).sum(0)
            ffn = weight_of(tensors, family.block(layer).ffn_out)
            neurons[layer] += output.activations[valid].abs().sum(0) * ffn.norm(dim=0)
            for vectors in (output.queries, output.keys):
                by_head = torch.unflatten(vectors[valid], -1, (heads, width))
                query_key[layer] += _second_moments(by_head)
            context[layer] += _second_moments(split)
        for state in states:
            channels += state[valid].abs().sum(0)
            if covariance is not None:
                centred = state[valid] - state[valid].mean(0)
                covariance += centred.T @ centred
    return Importance(channels, covariance, head_scores, neurons, query_key, context)


def order_channels(importance: Importance, measure: ChannelMeasure) -> Tensor:
    """Hidden channels from the most to the least important, [hidden].

    Raises:
        ValueError: The importance was measured for another measure.
    """
    if measure == "magnitude":
        return importance.channels.argsort(descending=True)
    if measure == "none":
        return torch.arange(len(importance.channels))
    if importance.covariance is None:
        raise ValueError(f"{measure} needs the covariance of the channels, which was not measured")
    if measure == "variance":
        return importance.covariance.diagonal().argsort(descending=True)
    return _select_columns(importance.covariance)


def _select_columns(covariance: Tensor) -> Tensor:
    """Greedy column subset selection: each channel explains most of what is left of the others."""
    rest = covariance.double().clone()
    order: list[int] = []
    for _ in range(len(rest)):
        variance = rest.diagonal().clamp(min=1e-12)
        explained = (rest**2).sum(0) / variance
        explained[order] = -1.0
        chosen = int(explained.argmax())
        order.append(chosen)
        column = rest[:, chosen] / variance[chosen].sqrt()
        rest = rest - torch.outer(column, column)
    return torch.tensor(order)


def _second_moments(vectors: Tensor) -> Tensor:
    """Sum over tokens of the outer products, [heads, width, width], from [tokens, heads, width]."""
    return torch.einsum("nhi,nhj->hij", vectors, vectors)
