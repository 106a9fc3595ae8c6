"""The teacher layer by layer, its parts in the SuperLM's order: what a cut is corrected towards."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from autodistil.families.architecture import Architecture
from autodistil.families.parts import Linear
from autodistil.models.elastic import ElasticEncoder, LayerOutput
from autodistil.models.primitives import linear, norm
from autodistil.text.corpus import Batch


@dataclass(frozen=True)
class TeacherLayer:
    """What a teacher's layer computed on one batch, in the SuperLM's order of parts.

    Attributes:
        attention_read: What the attention reads, [tokens, hidden].
        queries: [tokens, attention width].
        keys: Same shape.
        values: Same shape.
        attention_sum: Attention output plus residual, before a LayerNorm, [tokens, hidden].
        attended: After it.
        ffn_read: What the FFN reads, [tokens, hidden].
        inner: FFN values before the activation, [tokens, intermediate].
        gate: What the activations are multiplied with, same shape; None where nothing is.
        ffn_sum: FFN output plus residual, before a LayerNorm, [tokens, hidden].
        hidden: After it.
        ended: After the LayerNorm at the encoder's end, as if this were the last layer.
    """

    attention_read: Tensor

    queries: Tensor
    keys: Tensor
    values: Tensor
    attention_sum: Tensor
    attended: Tensor
    ffn_read: Tensor
    inner: Tensor
    gate: Tensor | None
    ffn_sum: Tensor
    hidden: Tensor
    ended: Tensor


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
        tensors, family, sizes = self._encoder.tensors(), self._encoder.encoder, self._architecture
        block = family.block(layer)

        def kept(x: Tensor) -> Tensor:
            return x[valid][:, self._channels]

        def added(part: Linear, x: Tensor) -> Tensor:
            return linear(tensors, part, x, sizes.hidden)

        def found(part: Linear, x: Tensor, width: int) -> Tensor:
            return linear(self._permuted, part, x, width)

        read = kept(norm(tensors, block.before_attention, hidden, family.layer_norm_eps))
        ffn_read = kept(norm(tensors, block.before_ffn, output.attended, family.layer_norm_eps))
        width, neurons = sizes.attention_width, sizes.intermediate
        return TeacherLayer(
            attention_read=read,
            queries=found(block.query, read, width),
            keys=found(block.key, read, width),
            values=found(block.value, read, width),
            attention_sum=kept(added(block.attention_output, output.context) + hidden),
            attended=kept(output.attended),
            ffn_read=ffn_read,
            inner=found(block.ffn_in, ffn_read, neurons),
            gate=found(block.gate, ffn_read, neurons) if block.gate else None,
            ffn_sum=kept(added(block.ffn_out, output.activations) + output.attended),
            hidden=kept(output.hidden),
            ended=kept(self._encoder.end(output.hidden)),
        )
