"""Reordering a teacher's channels, heads, and neurons so that first-k slices are the best k.

One permutation of the hidden channels serves the whole network, because LayerNorm commutes with a
permutation; heads and FFN neurons are permuted inside each layer. All of it leaves the teacher's
function as it is.
"""

import torch
from torch import Tensor

from autodistil.errors import InvalidInput
from autodistil.families.architecture import Architecture
from autodistil.families.parts import Block, Linear, Role
from autodistil.models.primitives import bias_of, weight_of
from autodistil.models.teacher import Teacher
from autodistil.spaces.sub_space import SubSpace
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

    Raises:
        InvalidInput: The students' heads are narrower, which this family does not allow.
    """
    sizes, encoder = teacher.architecture, teacher.encoder
    if encoder.head_width_is_fixed and space.head_width != sizes.head_width:
        raise InvalidInput(
            f"Heads of {encoder.family} cannot be made narrower; use the teacher's head width, "
            f"{sizes.head_width}."
        )
    tensors = {name: tensor.clone() for name, tensor in teacher.tensors.items()}
    heads = importance.heads if parts else torch.zeros_like(importance.heads)
    if encoder.relative_positions is not None:  # all layers share a bias for each head
        heads = heads.sum(0, keepdim=True).expand_as(heads)
    for layer in range(sizes.layers):
        block = encoder.block(layer)
        order = heads[layer].argsort(descending=True, stable=True).tolist()
        _reorder_heads(tensors, block, layer, sizes, space, importance, order)
        if parts:
            neurons = importance.neurons[layer].argsort(descending=True, stable=True)
            _reorder_neurons(tensors, block, neurons)
    if encoder.relative_positions is not None:
        (name,) = encoder.relative_positions.table.stored
        chosen = [head for head, _ in _chunks(sizes, space, order)]
        tensors[name] = tensors[name][:, chosen]
    for name, stored in encoder.tensors(sizes.layers).items():
        for dimension, axis in enumerate(stored.axes):
            if axis is Role.HIDDEN:
                tensors[name] = tensors[name].index_select(dimension, channels)
    return tensors


def _reorder_neurons(tensors: dict[str, Tensor], block: Block, order: Tensor) -> None:
    for part in (block.ffn_in, block.gate):
        if part is not None:
            _rewrite(tensors, part, weight_of(tensors, part)[order], _rows(tensors, part, order))
    weight = weight_of(tensors, block.ffn_out)[:, order]
    _rewrite(tensors, block.ffn_out, weight, bias_of(tensors, block.ffn_out))


def _reorder_heads(
    tensors: dict[str, Tensor],
    block: Block,
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
    width, chunks = space.head_width, _chunks(teacher, space, order)
    whole = width == teacher.head_width
    of_scores, of_values = (
        None if whole else _principal(moments[layer])
        for moments in (importance.query_key, importance.context)
    )

    def heads_of(rows: Tensor, rotation: Tensor | None) -> Tensor:
        heads = torch.unflatten(rows, 0, (teacher.heads, teacher.head_width))
        if rotation is not None:
            heads = torch.einsum("hij,hi...->hj...", rotation, heads)
        return _take(heads, chunks, width)

    # Scores are divided by the root of the head width; keep the teacher's divisor.
    scale = (width / teacher.head_width) ** 0.5
    for part, rotation, factor in (
        (block.query, of_scores, scale),
        (block.key, of_scores, 1.0),
        (block.value, of_values, 1.0),
    ):
        bias = bias_of(tensors, part)
        _rewrite(
            tensors,
            part,
            factor * heads_of(weight_of(tensors, part), rotation),
            None if bias is None else factor * heads_of(bias, rotation),
        )
    output = block.attention_output
    weight = heads_of(weight_of(tensors, output).T, of_values).T
    _rewrite(tensors, output, weight, bias_of(tensors, output))


def _rewrite(tensors: dict[str, Tensor], part: Linear, weight: Tensor, bias: Tensor | None) -> None:
    """Write a map's new weight and bias to where they lie."""
    weight_of(tensors, part).copy_(weight)
    old = bias_of(tensors, part)
    if old is not None and bias is not None:
        old.copy_(bias)


def _rows(tensors: dict[str, Tensor], part: Linear, order: Tensor) -> Tensor | None:
    bias = bias_of(tensors, part)
    return None if bias is None else bias[order]


def _chunks(teacher: Architecture, space: SubSpace, order: list[int]) -> list[tuple[int, int]]:
    """The teacher's head and the part of it that each of the students' heads is."""
    parts = range(teacher.head_width // space.head_width)
    return [(head, part) for part in parts for head in order]


def _take(heads: Tensor, chunks: list[tuple[int, int]], width: int) -> Tensor:
    """Concatenate the chosen (head, part) blocks of `width` rows of [heads, head width, ...]."""
    return torch.cat([heads[head, part * width : (part + 1) * width] for head, part in chunks])


def _principal(moments: Tensor) -> Tensor:
    """Orthonormal directions of each head by falling second moment, as columns."""
    directions: Tensor = torch.linalg.eigh(moments).eigenvectors
    return directions.flip(-1)
