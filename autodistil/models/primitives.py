"""What the layers of all families are made of, on slices of stored tensors.

The elastic forward, the shared evaluation, the start and its measurements run a layer each in their
own order; all of them use these.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from autodistil.families.encoder import EncoderConfig
from autodistil.families.parts import Block, Linear, Norm, RelativePositions, Table

Tensors = Mapping[str, Tensor]
"""Stored tensors by their names."""


def weight_of(tensors: Tensors, part: Linear) -> Tensor:
    """The stored matrix of a map, [out, into]; a view."""
    return _own(tensors[f"{part.name}.weight"], part)


def bias_of(tensors: Tensors, part: Linear) -> Tensor | None:
    """The stored bias of a map, [out], if it has one; a view."""
    return _own(tensors[f"{part.name}.bias"], part) if part.bias else None


def _own(tensor: Tensor, part: Linear) -> Tensor:
    if part.stacked == 1:
        return tensor
    return torch.unflatten(tensor, 0, (part.stacked, -1))[part.place]


def linear(tensors: Tensors, part: Linear, x: Tensor, out: int) -> Tensor:
    """The first `out` outputs of a map, of as many inputs as x has, [..., out].

    Args:
        tensors: The stored tensors.
        part: The map.
        x: [..., inputs].
        out: Outputs wanted.
    """
    bias = bias_of(tensors, part)
    weight = weight_of(tensors, part)[:out, : x.shape[-1]]
    return F.linear(x, weight, None if bias is None else bias[:out])


def norm(tensors: Tensors, part: Norm | None, x: Tensor, eps: float) -> Tensor:
    """LayerNorm over the last axis of x, which may be narrower than the stored; x where there is
    none.
    """
    if part is None:
        return x
    width = x.shape[-1]
    weight, bias = norm_weights(tensors, part, width)
    return F.layer_norm(x, (width,), weight, bias, eps)


def norm_weights(tensors: Tensors, part: Norm, width: int) -> tuple[Tensor, Tensor | None]:
    """Scale and shift of the first channels of a LayerNorm, [width] each."""
    weight = tensors[f"{part.name}.weight"][:width]
    return weight, tensors[f"{part.name}.bias"][:width] if part.bias else None


def lookup(tensors: Tensors, part: Table, rows: Tensor, width: int) -> Tensor:
    """Rows of a table, [..., width]; the whole width where it is not cut.

    Args:
        tensors: The stored tensors.
        part: The table.
        rows: Their numbers, [...].
        width: Channels of the student.
    """
    table = tensors[f"{part.name}.weight"]
    if not isinstance(part.width, int):
        table = table[:, :width]
    return F.embedding(rows, table)


def embed(
    tensors: Tensors,
    encoder: EncoderConfig,
    input_ids: Tensor,
    positions: Tensor,
    hidden: int,
    token_type_ids: Tensor | None = None,
) -> Tensor:
    """First hidden states, without dropout, [..., hidden].

    Args:
        tensors: The stored tensors.
        encoder: The encoder.
        input_ids: Tokens, [...].
        positions: Place of each in its text, from 0 on, of a shape that broadcasts to `input_ids`.
        hidden: Width of the student.
        token_type_ids: Same shape as `input_ids`; zeros by default.
    """
    parts = encoder.embeddings
    summed = lookup(tensors, parts.words, input_ids, hidden)
    if parts.positions is not None:
        rows = positions + parts.first_position
        summed = summed + lookup(tensors, parts.positions, rows, hidden)
    if parts.types is not None:
        types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        summed = summed + lookup(tensors, parts.types, types, hidden)
    summed = norm(tensors, parts.norm, summed, encoder.layer_norm_eps)
    if parts.projection is not None:
        summed = linear(tensors, parts.projection, summed, hidden)
    return summed


def activate(
    tensors: Tensors, block: Block, encoder_activation: torch.nn.Module, x: Tensor, neurons: int
) -> Tensor:
    """Activations of the first neurons of a FFN, [..., neurons].

    Args:
        tensors: The stored tensors.
        block: The layer.
        encoder_activation: The activation function.
        x: What the FFN reads, [..., hidden].
        neurons: How many.
    """
    found: Tensor = encoder_activation(linear(tensors, block.ffn_in, x, neurons))
    if block.gate is not None:
        found = found * linear(tensors, block.gate, x, neurons)
    return found


def rotate(x: Tensor, positions: Tensor, theta: float | None) -> Tensor:
    """Queries or keys turned by their positions (RoPE); as they are without a base.

    Args:
        x: [..., tokens, head width].
        positions: Place of each token in its text, [tokens] or [..., tokens].
        theta: Base of the rotation.
    """
    if theta is None:
        return x
    width = x.shape[-1]
    powers = torch.arange(0, width, 2, dtype=torch.float32, device=x.device) / width
    angles = positions[..., None].float() * theta**-powers
    cos, sin = (torch.cat([f(angles)] * 2, -1) for f in (torch.cos, torch.sin))
    first, second = x.float().chunk(2, -1)
    return (x.float() * cos + torch.cat([-second, first], -1) * sin).to(x.dtype)


def score_bias(
    tensors: Tensors, relative: RelativePositions | None, block: Block, length: int, heads: int
) -> Tensor | None:
    """What is added to the attention scores of texts of a length by the distance of the tokens.

    Args:
        tensors: The stored tensors.
        relative: The bias by distance, where there is one.
        block: The layer, which may see a window alone.
        length: Tokens of the texts.
        heads: Heads of the student.

    Returns:
        [heads or 1, length, length]; None if nothing is.
    """
    if relative is None and block.window is None:
        return None
    device = next(iter(tensors.values())).device
    places = torch.arange(length, device=device)
    distance = places[None, :] - places[:, None]
    bias = torch.zeros(1, length, length, device=device)
    if relative is not None:
        table = tensors[f"{relative.table.name}.weight"][:, :heads]
        bias = F.embedding(buckets(distance, relative), table).permute(2, 0, 1)
    if block.window is not None:
        bias = bias.masked_fill(distance.abs() > block.window, float("-inf"))
    return bias


def buckets(distance: Tensor, relative: RelativePositions) -> Tensor:
    """The bucket of each distance, key minus query: half of them for each side, the near ones
    exact, the far ones by their logarithm (as in T5 and MPNet). Same shape.
    """
    half = relative.buckets // 2
    exact = half // 2
    far = distance.abs()
    share = torch.log(far.float() / exact) / math.log(relative.farthest / exact)
    logarithmic = (exact + (share * (half - exact)).clamp(min=0).long()).clamp(max=half - 1)
    return torch.where(far < exact, far, logarithmic) + half * (distance > 0).long()
