"""The weight-sharing encoder: one set of tensors, any student of the sub-space active.

The active architecture is an argument, never a state left on modules. A student uses the first
rows and columns of every matrix, and the layers that `kept_layers` names for its depth
(paper, section 3.2). With the teacher's own architecture the encoder is the teacher.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.activations import ACT2FN

from autodistil.models.sentence_vectors import pool, to_teacher_space
from autodistil.spaces.architecture import Architecture
from autodistil.spaces.embedding import Pooling
from autodistil.spaces.tensors import EncoderConfig, layer_tensor

KeptLayers = Mapping[int, tuple[int, ...]]
"""For every depth, the stored layers that a student of that depth runs, in order."""


class LayerOutput(NamedTuple):
    """What one layer computed. All but `hidden` serve losses and importance measures.

    Attributes:
        hidden: Output of the layer, [batch, tokens, hidden].
        queries: Queries of all heads concatenated, [batch, tokens, heads x head width].
        keys: Keys, same shape.
        values: Values, same shape.
        context: Weighted values before the output projection, same shape.
        attended: Output of the attention block after its LayerNorm, [batch, tokens, hidden].
        activations: FFN activations, [batch, tokens, intermediate].
    """

    hidden: Tensor
    queries: Tensor
    keys: Tensor
    values: Tensor
    context: Tensor
    attended: Tensor
    activations: Tensor


class ElasticEncoder(nn.Module):
    """A BERT encoder whose active sub-network is chosen at every forward.

    Args:
        tensors: The stored tensors, by the names of `autodistil.spaces.tensors.tensor_shapes`.
        encoder: Activation, LayerNorm epsilon, and vocabulary.
        kept_layers: Stored layers per depth.
        dropout: Probability of dropout, while training, on what is added to the residual stream.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        encoder: EncoderConfig,
        kept_layers: KeptLayers,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self._dropout = dropout
        self.encoder = encoder
        self.kept_layers = dict(kept_layers)
        self.activation = ACT2FN[encoder.hidden_act]
        # Parameter names may not contain dots, tensor names do.
        self._stored = nn.ParameterDict(
            {name.replace(".", "/"): nn.Parameter(tensor) for name, tensor in tensors.items()}
        )

    def tensors(self) -> dict[str, Tensor]:
        """The stored tensors by their names; the parameters themselves, not copies."""
        return {name.replace("/", "."): tensor for name, tensor in self._stored.items()}

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        architecture: Architecture,
        token_type_ids: Tensor | None = None,
    ) -> LayerOutput:
        """Run the student `architecture` and return what its last layer computed.

        Args:
            input_ids: [batch, tokens].
            attention_mask: 1 for tokens, 0 for padding, [batch, tokens].
            architecture: The active student.
            token_type_ids: [batch, tokens]; zeros by default.
        """
        return self.outputs(input_ids, attention_mask, architecture, token_type_ids)[-1]

    def outputs(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        architecture: Architecture,
        token_type_ids: Tensor | None = None,
    ) -> list[LayerOutput]:
        """Run the student `architecture` and return what each of its layers computed.

        Args:
            input_ids: [batch, tokens].
            attention_mask: 1 for tokens, 0 for padding, [batch, tokens].
            architecture: The active student.
            token_type_ids: [batch, tokens]; zeros by default.
        """
        hidden = self.embed(input_ids, architecture.hidden, token_type_ids)
        mask = attention_mask[:, None, None, :].bool()
        outputs = []
        for layer in self.kept_layers[architecture.layers]:
            outputs.append(self.layer(hidden, mask, layer, architecture))
            hidden = outputs[-1].hidden
        return outputs

    def vectors(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        architecture: Architecture,
        pooling: Pooling,
    ) -> Tensor:
        """Sentence vectors of the student `architecture`, not normalised, in fp32.

        Args:
            input_ids: [batch, tokens].
            attention_mask: 1 for tokens, 0 for padding, [batch, tokens].
            architecture: The active student.
            pooling: How the teacher pools.

        Returns:
            [batch, width]; of the teacher's width if the SuperLM has a map to it.
        """
        hidden = self(input_ids, attention_mask, architecture).hidden
        return to_teacher_space(pool(hidden, attention_mask, pooling), self.tensors(), architecture)

    def embed(self, input_ids: Tensor, hidden: int, token_type_ids: Tensor | None = None) -> Tensor:
        """Sum of word, position, and type embeddings after LayerNorm, [batch, tokens, hidden].

        Args:
            input_ids: [batch, tokens].
            hidden: Width of the student.
            token_type_ids: [batch, tokens]; zeros by default.
        """
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        words = self._tensor("embeddings.word_embeddings.weight")[:, :hidden]
        positions = self._tensor("embeddings.position_embeddings.weight")[:, :hidden]
        types = self._tensor("embeddings.token_type_embeddings.weight")[:, :hidden]
        summed = (
            F.embedding(input_ids, words)
            + positions[: input_ids.shape[1]]
            + F.embedding(token_type_ids, types)
        )
        return self._drop(self._norm(summed, "embeddings.LayerNorm"))

    def layer(
        self, hidden: Tensor, mask: Tensor, layer: int, architecture: Architecture
    ) -> LayerOutput:
        """Run one stored layer at the widths of `architecture`.

        Args:
            hidden: [batch, tokens, hidden].
            mask: True where a key may be attended to, [batch, 1, 1, tokens].
            layer: Index of the stored layer.
            architecture: The sizes of this layer.
        """
        heads = architecture.heads
        width = architecture.attention_width

        def split(x: Tensor) -> Tensor:
            return torch.unflatten(x, -1, (heads, architecture.head_width)).transpose(1, 2)

        def name(part: str) -> str:
            return layer_tensor(layer, part)

        queries = self._linear(hidden, name("attention.self.query"), width)
        keys = self._linear(hidden, name("attention.self.key"), width)
        values = self._linear(hidden, name("attention.self.value"), width)
        context = _attend(split(queries), split(keys), split(values), mask)
        context = context.transpose(1, 2).flatten(2)
        attended = self._linear(context, name("attention.output.dense"), architecture.hidden)
        attended = self._norm(self._drop(attended) + hidden, name("attention.output.LayerNorm"))
        activations = self.activation(
            self._linear(attended, name("intermediate.dense"), architecture.intermediate)
        )
        output = self._linear(activations, name("output.dense"), architecture.hidden)
        output = self._norm(self._drop(output) + attended, name("output.LayerNorm"))
        return LayerOutput(output, queries, keys, values, context, attended, activations)

    def _drop(self, x: Tensor) -> Tensor:
        if not self._dropout:
            return x
        return F.dropout(x, self._dropout, self.training)

    def _tensor(self, name: str) -> Tensor:
        tensor: Tensor = self._stored[name.replace(".", "/")]
        return tensor

    def _linear(self, x: Tensor, name: str, out: int) -> Tensor:
        weight = self._tensor(f"{name}.weight")[:out, : x.shape[-1]]
        return F.linear(x, weight, self._tensor(f"{name}.bias")[:out])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        width = x.shape[-1]
        weight, bias = self._tensor(f"{name}.weight")[:width], self._tensor(f"{name}.bias")[:width]
        return F.layer_norm(x, (width,), weight, bias, self.encoder.layer_norm_eps)


def _attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Scaled dot product attention, [batch, heads, tokens, head width] each."""
    if queries.device.type != "cpu" or queries.dtype != torch.bfloat16:
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    # PyTorch's fused kernel for CPUs takes ten times as long to go backward in bfloat16.
    scores = (queries * queries.shape[-1] ** -0.5) @ keys.transpose(-1, -2)
    probabilities: Tensor = scores.masked_fill(~mask, float("-inf")).softmax(-1)
    return probabilities @ values
