"""The teacher layer by layer, its parts in the SuperLM's order: what a cut is corrected towards."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from autodistil.models.elastic import ElasticEncoder, LayerOutput
from autodistil.spaces.architecture import Architecture
from autodistil.spaces.tensors import layer_tensor
from autodistil.text.corpus import Batch


@dataclass(frozen=True)
class TeacherLayer:
    """What a teacher's layer computed on one batch, in the SuperLM's order of parts.

    Attributes:
        queries: [tokens, attention width].
        keys: Same shape.
        values: Same shape.
        attention_sum: Attention output plus residual, before the LayerNorm, [tokens, hidden].
        attended: After it.
        inner: FFN values before the activation, [tokens, intermediate].
        ffn_sum: FFN output plus residual, before the LayerNorm, [tokens, hidden].
        hidden: After it.
    """

    queries: Tensor
    keys: Tensor
    values: Tensor
    attention_sum: Tensor
    attended: Tensor
    inner: Tensor
    ffn_sum: Tensor
    hidden: Tensor


class ReorderedTeacher:
    """The teacher run layer by layer on calibration text, its parts in the SuperLM's order.

    Args:
        encoder: The teacher.
        architecture: Its sizes.
        permuted: Its tensors in the SuperLM's order, from `autodistil.training.permutation`.
        channels: The order of the hidden channels, [hidden].
        batches: Calibration text.
    """

    def __init__(
        self,
        encoder: ElasticEncoder,
        architecture: Architecture,
        permuted: dict[str, Tensor],
        channels: Tensor,
        batches: list[Batch],
    ) -> None:
        self._encoder, self._architecture = encoder, architecture
        self._permuted, self._channels = permuted, channels
        self.batches = batches
        self.valid = [batch.attention_mask.bool() for batch in batches]

    def embedded(self) -> list[Tensor]:
        """Embeddings of every batch without its padding, [tokens, hidden]."""
        return [
            hidden[valid][:, self._channels]
            for hidden, valid in zip(self._embed(), self.valid, strict=True)
        ]

    def layers(self, wanted: Sequence[int]) -> Iterator[list[TeacherLayer]]:
        """What layers computed, for every batch; only the current hidden states are held.

        Args:
            wanted: Indices of the layers, rising.
        """
        hidden = self._embed()
        for layer in range(wanted[-1] + 1):
            found = []
            for number, (before, valid) in enumerate(zip(hidden, self.valid, strict=True)):
                mask = valid[:, None, None, :]
                output = self._encoder.layer(before, mask, layer, self._architecture)
                hidden[number] = output.hidden
                if layer in wanted:
                    found.append(self._describe(layer, before, output, valid))
            if layer in wanted:
                yield found

    def _embed(self) -> list[Tensor]:
        width = self._architecture.hidden
        return [self._encoder.embed(batch.input_ids, width) for batch in self.batches]

    def _describe(
        self, layer: int, hidden: Tensor, output: LayerOutput, valid: Tensor
    ) -> TeacherLayer:
        """Of a layer's input and output, what the SuperLM's parts are to come near to."""
        tensors = self._encoder.tensors()

        def kept(x: Tensor) -> Tensor:
            return x[valid][:, self._channels]

        def linear(source: dict[str, Tensor], part: str, x: Tensor) -> Tensor:
            weight, bias = (source[layer_tensor(layer, f"{part}.{kind}")] for kind in _KINDS)
            return F.linear(x, weight, bias)

        before, attended = kept(hidden), kept(output.attended)
        return TeacherLayer(
            queries=linear(self._permuted, "attention.self.query", before),
            keys=linear(self._permuted, "attention.self.key", before),
            values=linear(self._permuted, "attention.self.value", before),
            attention_sum=kept(linear(tensors, "attention.output.dense", output.context) + hidden),
            attended=attended,
            inner=linear(self._permuted, "intermediate.dense", attended),
            ffn_sum=kept(linear(tensors, "output.dense", output.activations) + output.attended),
            hidden=kept(output.hidden),
        )


_KINDS = ("weight", "bias")
