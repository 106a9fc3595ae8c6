"""The start of a SuperLM: a teacher permuted by importance, so that first-k slices are the best k.

One permutation of the hidden channels serves the whole network, because LayerNorm commutes with a
permutation; heads and FFN neurons are permuted inside each layer. All of it leaves the teacher's
function as it is. The paper names importance as future work; DynaBERT and Minitron use it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from autodistil.architecture import Architecture, SubSpace
from autodistil.corpus import Batch, TokenizedText
from autodistil.elastic import ElasticEncoder, KeptLayers, mean_pool
from autodistil.teacher import Teacher
from autodistil.tensors import layer_tensor, split_layer_tensor, tensor_shapes


@dataclass(frozen=True)
class Start:
    """Where the training of a SuperLM starts.

    Attributes:
        tensors: Tensors of the largest student, cut from the permuted teacher.
        kept_layers: Stored layers per depth.
        teacher_layers: For every stored layer, the teacher's layer it was copied from.
    """

    tensors: dict[str, Tensor]
    kept_layers: dict[int, tuple[int, ...]]
    teacher_layers: tuple[int, ...]


def calibration_batches(text: TokenizedText, seed: int) -> list[Batch]:
    """About 13,000 tokens of sentences to measure importance on; the same for the same seed."""
    return [text.batch(np.random.default_rng([seed, 0xCA11, i]), 64, 32) for i in range(8)]


def teacher_encoder(teacher: Teacher) -> ElasticEncoder:
    """The teacher as an `ElasticEncoder`, frozen."""
    layers: KeptLayers = {teacher.architecture.layers: tuple(range(teacher.architecture.layers))}
    encoder = ElasticEncoder(teacher.tensors, teacher.encoder, layers)
    return encoder.requires_grad_(False).eval()


def cut_superlm(teacher: Teacher, space: SubSpace, calibration: Iterable[Batch]) -> Start:
    """Cut the largest student of a sub-space out of the teacher, most important parts first.

    Args:
        teacher: The teacher.
        space: The sub-space; its largest student must fit inside the teacher.
        calibration: A few thousand tokens of text to measure importance on.
    """
    batches = list(calibration)
    encoder = teacher_encoder(teacher)
    ranked = _rank_layers(encoder, teacher.architecture, batches)
    deepest = space.layers[-1]
    stored = sorted(ranked[:deepest])
    kept_layers = {
        depth: tuple(sorted(stored.index(layer) for layer in ranked[:depth]))
        for depth in space.layers
    }
    importance = _measure(encoder, teacher.architecture, batches)
    permuted = _permute(teacher, space, importance)
    largest = space.largest
    tensors = {}
    for name, shape in tensor_shapes(largest, teacher.encoder).items():
        source = name
        if split := split_layer_tensor(name):
            source = layer_tensor(stored[split[0]], split[1])
        tensors[name] = permuted[source][tuple(slice(size) for size in shape)].clone()
    return Start(tensors, kept_layers, tuple(stored))


@torch.inference_mode()
def _rank_layers(encoder: ElasticEncoder, teacher: Architecture, batches: list[Batch]) -> list[int]:
    """Layers from the most to the least needed; the last comes first, as every depth keeps it.

    Greedy: again and again the layer goes without which the pooled sentence vectors stay nearest
    to the teacher's. The result is nested: the layers of a depth are among those of the next.
    """
    every = list(range(teacher.layers))
    wanted = [_pooled(encoder, teacher, every, batch) for batch in batches]
    kept, dropped = every, []
    while len(kept) > 1:
        agreement = {}
        for layer in kept[:-1]:
            rest = [other for other in kept if other != layer]
            agreement[layer] = sum(
                float(F.cosine_similarity(_pooled(encoder, teacher, rest, batch), want).mean())
                for batch, want in zip(batches, wanted, strict=True)
            )
        least = max(agreement, key=lambda layer: agreement[layer])
        kept = [layer for layer in kept if layer != least]
        dropped.append(least)
    return [*kept, *reversed(dropped)]


def _pooled(
    encoder: ElasticEncoder, teacher: Architecture, layers: list[int], batch: Batch
) -> Tensor:
    """Mean-pooled output of the teacher cut to `layers`, centred, [batch, hidden]."""
    hidden = encoder.embed(batch.input_ids, teacher.hidden)
    mask = batch.attention_mask[:, None, None, :].bool()
    for layer in layers:
        hidden = encoder.layer(hidden, mask, layer, teacher).hidden
    pooled = mean_pool(hidden, batch.attention_mask)
    return pooled - pooled.mean(0)


@dataclass(frozen=True)
class _Importance:
    """Importance of every part; larger is more important.

    Attributes:
        channels: [hidden].
        heads: [layers, heads].
        neurons: [layers, intermediate].
        query_key: Second moments of each head's queries plus keys, [layers, heads, width, width].
        context: Second moments of each head's context, same shape.
    """

    channels: Tensor
    heads: Tensor
    neurons: Tensor
    query_key: Tensor
    context: Tensor


@torch.inference_mode()
def _measure(encoder: ElasticEncoder, teacher: Architecture, batches: list[Batch]) -> _Importance:
    """Mean magnitudes over the calibration tokens: of a channel's values after every LayerNorm,
    of what a head or a neuron adds to the residual stream.
    """
    tensors = encoder.tensors()
    layers, heads, width = teacher.layers, teacher.heads, teacher.head_width
    channels = torch.zeros(teacher.hidden)
    head_scores, neurons = torch.zeros(layers, heads), torch.zeros(layers, teacher.intermediate)
    query_key = torch.zeros(layers, heads, width, width)
    context = torch.zeros(layers, heads, width, width)
    for batch in batches:
        valid = batch.attention_mask.bool()
        hidden = encoder.embed(batch.input_ids, teacher.hidden)
        channels += hidden[valid].abs().sum(0)
        for layer in range(layers):
            output = encoder.layer(hidden, valid[:, None, None, :], layer, teacher)
            hidden = output.hidden
            channels += output.attended[valid].abs().sum(0) + hidden[valid].abs().sum(0)
            projection = tensors[layer_tensor(layer, "attention.output.dense.weight")]
            split = torch.unflatten(output.context[valid], -1, (heads, width))
            blocks = torch.unflatten(projection, 1, (heads, width))
            added = torch.einsum("nhw,dhw->nhd", split, blocks)
            head_scores[layer] += added.norm(dim=-1).sum(0)
            ffn = tensors[layer_tensor(layer, "output.dense.weight")]
            neurons[layer] += output.activations[valid].abs().sum(0) * ffn.norm(dim=0)
            for vectors in (output.queries, output.keys):
                by_head = torch.unflatten(vectors[valid], -1, (heads, width))
                query_key[layer] += _second_moments(by_head)
            context[layer] += _second_moments(split)
    return _Importance(channels, head_scores, neurons, query_key, context)


def _second_moments(vectors: Tensor) -> Tensor:
    """Sum over tokens of the outer products, [heads, width, width], from [tokens, heads, width]."""
    return torch.einsum("nhi,nhj->hij", vectors, vectors)


def _permute(teacher: Teacher, space: SubSpace, importance: _Importance) -> dict[str, Tensor]:
    """The teacher's tensors, most important channels, heads, and neurons first."""
    tensors = dict(teacher.tensors)
    for layer in range(teacher.architecture.layers):
        _reorder_heads(tensors, layer, teacher.architecture, space, importance)
        neurons = importance.neurons[layer].argsort(descending=True)
        for part, dimension in (
            ("intermediate.dense.weight", 0),
            ("intermediate.dense.bias", 0),
            ("output.dense.weight", 1),
        ):
            name = layer_tensor(layer, part)
            tensors[name] = tensors[name].index_select(dimension, neurons)
    channels = importance.channels.argsort(descending=True)
    return {name: _permute_channels(name, tensor, channels) for name, tensor in tensors.items()}


_READS_HIDDEN = ("query.weight", "key.weight", "value.weight", "intermediate.dense.weight")


def _permute_channels(name: str, tensor: Tensor, channels: Tensor) -> Tensor:
    """Permute the dimensions of a tensor that run over hidden channels."""
    if name.startswith("pooler.dense.weight"):
        return tensor[channels][:, channels]
    if "embeddings.weight" in name or name.endswith("_embeddings.weight"):
        return tensor[:, channels]
    if name.endswith(_READS_HIDDEN):
        return tensor[:, channels]
    if name.endswith(("query.bias", "key.bias", "value.bias", "intermediate.dense.bias")):
        return tensor
    return tensor[channels]  # LayerNorms, and what writes to the residual stream


def _reorder_heads(
    tensors: dict[str, Tensor],
    layer: int,
    teacher: Architecture,
    space: SubSpace,
    importance: _Importance,
) -> None:
    """Put the layer's most important heads first, in the head width of the students.

    A head narrower than the teacher's keeps the directions in which its queries and keys, and its
    context, vary most: the head is rotated onto them, which is exact before the cut. Where the
    students have more heads than the teacher, a teacher head is spread over several.
    """
    width = space.head_width
    order = importance.heads[layer].argsort(descending=True).tolist()
    chunks = [(head, part) for part in range(teacher.head_width // width) for head in order]
    rotations = {
        "query": _principal(importance.query_key[layer]),
        "key": _principal(importance.query_key[layer]),
        "value": _principal(importance.context[layer]),
    }
    whole = width == teacher.head_width
    for part, rotation in rotations.items():
        weight = layer_tensor(layer, f"attention.self.{part}.weight")
        bias = layer_tensor(layer, f"attention.self.{part}.bias")
        # Scores are divided by the root of the head width; keep the teacher's divisor.
        scale = (width / teacher.head_width) ** 0.5 if part == "query" else 1.0
        for name in (weight, bias):
            heads = torch.unflatten(tensors[name], 0, (teacher.heads, teacher.head_width))
            if not whole:
                heads = torch.einsum("hij,hi...->hj...", rotation, heads)
            tensors[name] = scale * _take(heads, chunks, width)
    name = layer_tensor(layer, "attention.output.dense.weight")
    heads = torch.unflatten(tensors[name].T, 0, (teacher.heads, teacher.head_width))
    if not whole:
        heads = torch.einsum("hij,hi...->hj...", rotations["value"], heads)
    tensors[name] = _take(heads, chunks, width).T.contiguous()


def _take(heads: Tensor, chunks: list[tuple[int, int]], width: int) -> Tensor:
    """Concatenate the chosen (head, part) blocks of `width` rows of [heads, head width, ...]."""
    return torch.cat([heads[head, part * width : (part + 1) * width] for head, part in chunks])


def _principal(moments: Tensor) -> Tensor:
    """Orthonormal directions of each head by falling second moment, as columns."""
    directions: Tensor = torch.linalg.eigh(moments).eigenvectors
    return directions.flip(-1)
