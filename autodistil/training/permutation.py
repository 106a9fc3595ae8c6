"""Reordering a teacher's channels, heads, and neurons so that first-k slices are the best k.

One permutation of the hidden channels serves the whole network, because LayerNorm commutes with a
permutation; heads and FFN neurons are permuted inside each layer. All of it leaves the teacher's
function as it is.
"""

import torch
from torch import Tensor

from autodistil.models.teacher import Teacher
from autodistil.spaces.architecture import Architecture, SubSpace
from autodistil.spaces.tensors import layer_tensor
from autodistil.training.importance import Importance


def permute(
    teacher: Teacher, space: SubSpace, importance: Importance, channels: Tensor, parts: bool = True
) -> dict[str, Tensor]:
    """The teacher's tensors, most important channels, heads, and neurons first.

    Args:
        teacher: The teacher.
        space: The sub-space, which says how wide the students' heads are.
        importance: Of the teacher's parts.
        channels: The new order of the hidden channels, [hidden].
        parts: Whether heads and neurons are reordered, too.
    """
    tensors = dict(teacher.tensors)
    for layer in range(teacher.architecture.layers):
        neurons, heads = importance.neurons[layer], importance.heads[layer]
        if not parts:
            neurons, heads = torch.zeros_like(neurons), torch.zeros_like(heads)
        head_order = heads.argsort(descending=True, stable=True).tolist()
        _reorder_heads(tensors, layer, teacher.architecture, space, importance, head_order)
        order = neurons.argsort(descending=True, stable=True)
        for part, dimension in (
            ("intermediate.dense.weight", 0),
            ("intermediate.dense.bias", 0),
            ("output.dense.weight", 1),
        ):
            name = layer_tensor(layer, part)
            tensors[name] = tensors[name].index_select(dimension, order)
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
    importance: Importance,
    order: list[int],
) -> None:
    """Put the layer's heads in a new order, in the head width of the students.

    A head narrower than the teacher's keeps the directions in which its queries and keys, and its
    context, vary most: the head is rotated onto them, which is exact before the cut. Where the
    students have more heads than the teacher, a teacher head is spread over several.
    """
    width = space.head_width
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
