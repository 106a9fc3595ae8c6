"""Many students of equal width in one pass: what they compute alike is computed once.

A student is a route: for each of its layers which stored layer it runs, with how many heads and
how wide an FFN. Routes that begin alike form a tree, which is walked depth first. Where they part,
they still share: fewer heads are the first of more heads, a narrower FFN is the beginning of a
wider one, and what the rest adds to the output is added to what is there.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from autodistil.evaluation.packed import PackedBatch
from autodistil.families.architecture import Architecture
from autodistil.families.parts import Block, Linear, Norm
from autodistil.models.elastic import ElasticEncoder, KeptLayers
from autodistil.models.primitives import activate, bias_of, embed, norm, score_bias, weight_of


class Step(NamedTuple):
    """One layer of a route: which stored layer, and how much of it."""

    layer: int
    heads: int
    intermediate: int


Route = tuple[Step, ...]
"""The layers of a student, the first one first."""


class Network(NamedTuple):
    """A student inside a SuperLM, layer by layer; a teacher is one as well."""

    hidden: int
    head_width: int
    vocab: int | None
    route: Route


class LastLayer(NamedTuple):
    """What the last layer of a student computed.

    Attributes:
        projections: Queries, keys, and values, [tokens, 3, attention width].
        hidden: Output of the layer, [tokens, hidden].
    """

    projections: Tensor
    hidden: Tensor


def network_of(architecture: Architecture, kept_layers: KeptLayers) -> Network:
    """The layers that a student runs, and how much of each."""
    route = tuple(
        Step(layer, architecture.heads, architecture.intermediate)
        for layer in kept_layers[architecture.layers]
    )
    return Network(architecture.hidden, architecture.head_width, architecture.vocab, route)


class SharedForward:
    """Runs students of one hidden width.

    Args:
        encoder: The SuperLM, or a teacher.
        hidden: Hidden width of the students.
        head_width: Width of their heads.
    """

    def __init__(self, encoder: ElasticEncoder, hidden: int, head_width: int) -> None:
        self._tensors, self._encoder = encoder.tensors(), encoder.encoder
        self._activation = encoder.activation
        self._hidden, self._head_width = hidden, head_width

    @classmethod
    def of(cls, encoder: ElasticEncoder, network: Network) -> Self:
        """For the students that are as wide as this one."""
        return cls(encoder, network.hidden, network.head_width)

    def run(self, batch: PackedBatch, routes: Iterable[Route]) -> Iterator[tuple[Route, LastLayer]]:
        """Run students on a batch; yields each, in an order that shares most.

        Args:
            batch: The rows.
            routes: The students, each once.
        """
        ordered = sorted(routes)  # equal beginnings stand together
        first = embed(self._tensors, self._encoder, batch.input_ids, batch.positions, self._hidden)
        yield from self._descend(batch, first, ordered, 0)

    def _descend(
        self, batch: PackedBatch, hidden: Tensor, routes: Sequence[Route], depth: int
    ) -> Iterator[tuple[Route, LastLayer]]:
        """Run the layer at `depth` of routes that are alike before it."""
        for layer, of_layer in groupby(routes, lambda route: route[depth].layer):
            by_heads = [
                (heads, list(found))
                for heads, found in groupby(of_layer, lambda route: route[depth].heads)
            ]
            block = self._encoder.block(layer)
            read = self._norm(block.before_attention, hidden)
            projections = self._project(read, block, by_heads[-1][0])
            context = self._attend(batch, projections, block, by_heads[-1][0])
            summed, done = self._started(hidden, block.attention_output), 0
            for heads, of_heads in by_heads:
                width = heads * self._head_width
                self._add_product(summed, context, block.attention_output, done, width)
                done = width
                attended = self._norm(block.after_attention, summed)
                own = projections[..., :width]
                for found, output in self._feed_forward(attended, block, of_heads, depth):
                    ending = len(found[0]) == depth + 1  # shorter routes come first
                    if ending:
                        last = self._norm(self._encoder.final_norm, output)
                        yield found[0], LastLayer(own, last)
                    yield from self._descend(batch, output, found[ending:], depth + 1)

    def _project(self, read: Tensor, block: Block, heads: int) -> Tensor:
        """Queries, keys, and values in one product, [tokens, 3, heads x head width]."""
        parts, width = (block.query, block.key, block.value), heads * self._head_width
        weight = torch.cat(
            [weight_of(self._tensors, part)[:width, : self._hidden] for part in parts]
        )
        biases = [bias_of(self._tensors, part) for part in parts]
        own = [bias[:width] for bias in biases if bias is not None]
        product = F.linear(read, weight, torch.cat(own) if own else None)
        return torch.unflatten(product, -1, (3, width))

    def _attend(self, batch: PackedBatch, projections: Tensor, block: Block, heads: int) -> Tensor:
        relative = self._encoder.relative_positions

        def bias(length: int) -> Tensor | None:
            return score_bias(self._tensors, relative, block, length, heads)

        return batch.attend(projections, heads, block.rope_theta, bias)

    def _feed_forward(
        self, attended: Tensor, block: Block, routes: Sequence[Route], depth: int
    ) -> Iterator[tuple[list[Route], Tensor]]:
        """Outputs of the layer for each width of its FFN, from the narrowest on."""
        read, widest = self._norm(block.before_ffn, attended), routes[-1][depth].intermediate
        activations = activate(self._tensors, block, self._activation, read, widest)
        summed, done = self._started(attended, block.ffn_out), 0
        for width, found in groupby(routes, lambda route: route[depth].intermediate):
            self._add_product(summed, activations, block.ffn_out, done, width)
            done = width
            # Without a LayerNorm after it, the sum itself is the output, and grows on.
            output = self._norm(block.after_ffn, summed)
            yield list(found), output.clone() if output is summed else output

    def _started(self, residual: Tensor, part: Linear) -> Tensor:
        """The residual stream and the bias of what will be added to it, a new tensor."""
        bias = bias_of(self._tensors, part)
        return residual.clone() if bias is None else residual + bias[: self._hidden]

    def _add_product(self, summed: Tensor, x: Tensor, part: Linear, start: int, end: int) -> None:
        """Add what the inputs from `start` to `end` contribute to a linear map."""
        weight = weight_of(self._tensors, part)[: self._hidden, start:end]
        summed.addmm_(x[:, start:end], weight.T)

    def _norm(self, part: Norm | None, x: Tensor) -> Tensor:
        return norm(self._tensors, part, x, self._encoder.layer_norm_eps)
