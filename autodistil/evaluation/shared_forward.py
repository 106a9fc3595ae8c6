"""Many students of equal width in one pass: what they compute alike is computed once.

A student is a path: for each of its layers which stored layer it runs, with how many heads and how
wide an FFN. Paths that begin alike form a tree, which is walked depth first. Where paths part, they
still share: fewer heads are the first of more heads, a narrower FFN is the beginning of a wider
one, and what the rest adds to the output is added to what is there.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from autodistil.evaluation.packed import PackedBatch
from autodistil.models.elastic import ElasticEncoder, KeptLayers
from autodistil.spaces.architecture import Architecture
from autodistil.spaces.tensors import layer_tensor


class Step(NamedTuple):
    """One layer of a path: which stored layer, and how much of it."""

    layer: int
    heads: int
    intermediate: int


Path = tuple[Step, ...]
"""The layers of a student, the first one first."""


class Network(NamedTuple):
    """A student inside a SuperLM, layer by layer; a teacher is one as well."""

    hidden: int
    head_width: int
    vocab: int | None
    path: Path


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
    path = tuple(
        Step(layer, architecture.heads, architecture.intermediate)
        for layer in kept_layers[architecture.layers]
    )
    return Network(architecture.hidden, architecture.head_width, architecture.vocab, path)


class SharedForward:
    """Runs students of one hidden width.

    Args:
        encoder: The SuperLM, or a teacher.
        hidden: Hidden width of the students.
        head_width: Width of their heads.
    """

    def __init__(self, encoder: ElasticEncoder, hidden: int, head_width: int) -> None:
        self._tensors = encoder.tensors()
        self._activation = encoder.activation
        self._eps = encoder.encoder.layer_norm_eps
        self._hidden, self._head_width = hidden, head_width

    @classmethod
    def of(cls, encoder: ElasticEncoder, network: Network) -> Self:
        """For the students that are as wide as this one."""
        return cls(encoder, network.hidden, network.head_width)

    def run(self, batch: PackedBatch, paths: Iterable[Path]) -> Iterator[tuple[Path, LastLayer]]:
        """Run students on a batch; yields each, in an order that shares most.

        Args:
            batch: The rows.
            paths: The students, each once.
        """
        ordered = sorted(paths)  # equal beginnings stand together
        yield from self._descend(batch, self._embed(batch), ordered, 0)

    def _embed(self, batch: PackedBatch) -> Tensor:
        words, positions, types = (
            self._tensors[f"embeddings.{kind}_embeddings.weight"][:, : self._hidden]
            for kind in ("word", "position", "token_type")
        )
        summed = F.embedding(batch.input_ids, words) + F.embedding(batch.positions, positions)
        return self._norm(summed.add_(types[0]), "embeddings.LayerNorm")

    def _descend(
        self, batch: PackedBatch, hidden: Tensor, paths: Sequence[Path], depth: int
    ) -> Iterator[tuple[Path, LastLayer]]:
        """Run the layer at `depth` of paths that are alike before it."""
        for layer, of_layer in groupby(paths, lambda path: path[depth].layer):
            by_heads = [
                (heads, list(found))
                for heads, found in groupby(of_layer, lambda path: path[depth].heads)
            ]
            projections = self._project(hidden, layer, by_heads[-1][0])
            context = batch.attend(projections, by_heads[-1][0])
            name = layer_tensor(layer, "attention.output.dense")
            summed, done = hidden + self._bias(name, self._hidden), 0
            for heads, of_heads in by_heads:
                width = heads * self._head_width
                self._add_product(summed, context, name, done, width)
                done = width
                attended = self._norm(summed, layer_tensor(layer, "attention.output.LayerNorm"))
                own = projections[..., :width]
                for found, output in self._feed_forward(attended, layer, of_heads, depth):
                    ending = len(found[0]) == depth + 1  # shorter paths come first
                    if ending:
                        yield found[0], LastLayer(own, output)
                    yield from self._descend(batch, output, found[ending:], depth + 1)

    def _project(self, hidden: Tensor, layer: int, heads: int) -> Tensor:
        """Queries, keys, and values in one product, [tokens, 3, heads x head width]."""
        names = [layer_tensor(layer, f"attention.self.{n}") for n in ("query", "key", "value")]
        width = heads * self._head_width
        weight = torch.cat([self._tensors[f"{n}.weight"][:width, : self._hidden] for n in names])
        bias = torch.cat([self._bias(name, width) for name in names])
        return torch.unflatten(F.linear(hidden, weight, bias), -1, (3, width))

    def _feed_forward(
        self, attended: Tensor, layer: int, paths: Sequence[Path], depth: int
    ) -> Iterator[tuple[list[Path], Tensor]]:
        """Outputs of the layer for each width of its FFN, from the narrowest on."""
        first, second = (layer_tensor(layer, n) for n in ("intermediate.dense", "output.dense"))
        widest = paths[-1][depth].intermediate
        weight = self._tensors[f"{first}.weight"][:widest, : self._hidden]
        wide = F.linear(attended, weight, self._bias(first, widest))
        activations: Tensor = self._activation(wide)
        summed, done = attended + self._bias(second, self._hidden), 0
        for width, found in groupby(paths, lambda path: path[depth].intermediate):
            self._add_product(summed, activations, second, done, width)
            done = width
            yield list(found), self._norm(summed, layer_tensor(layer, "output.LayerNorm"))

    def _add_product(self, summed: Tensor, x: Tensor, name: str, start: int, end: int) -> None:
        """Add what the inputs from `start` to `end` contribute to a linear map."""
        weight = self._tensors[f"{name}.weight"][: self._hidden, start:end]
        summed.addmm_(x[:, start:end], weight.T)

    def _bias(self, name: str, width: int) -> Tensor:
        return self._tensors[f"{name}.bias"][:width]

    def _norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = (self._tensors[f"{name}.{n}"][: self._hidden] for n in ("weight", "bias"))
        return F.layer_norm(x, (self._hidden,), weight, bias, self._eps)
