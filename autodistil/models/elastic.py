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

from autodistil.families.architecture import Architecture
from autodistil.families.encoder import EncoderConfig
from autodistil.families.parts import Block
from autodistil.models.primitives import activate, embed, linear, norm, rotate, score_bias
from autodistil.models.sentence_vectors import pool, to_teacher_space
from autodistil.spaces.embedding import Pooling

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
    """An encoder whose active sub-network is chosen at every forward.

    Args:
        tensors: The stored tensors, by the names of `EncoderConfig.shapes`.
        encoder: What the students share, and their family.
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
        self._tensors = {name.replace("/", "."): tensor for name, tensor in self._stored.items()}

    def tensors(self) -> dict[str, Tensor]:
        """The stored tensors by their names; the parameters themselves, not copies."""
        return dict(self._tensors)

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
        outputs[-1] = outputs[-1]._replace(hidden=self.end(hidden))
        return outputs

    def end(self, hidden: Tensor) -> Tensor:
        """Last hidden states from those after the last layer, [batch, tokens, hidden]."""
        return norm(self._tensors, self.encoder.final_norm, hidden, self.encoder.layer_norm_eps)

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
        """Hidden states before the first layer, [batch, tokens, hidden].

        Args:
            input_ids: [batch, tokens].
            hidden: Width of the student.
            token_type_ids: [batch, tokens]; zeros by default.
        """
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        if self.encoder.embeddings.first_position:  # such families do not count padding
            padding = input_ids == self.encoder.pad_token_id
            places = ((~padding).cumsum(1) - 1).masked_fill(padding, -1)
        return self._drop(
            embed(self._tensors, self.encoder, input_ids, places, hidden, token_type_ids)
        )

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
        tensors, block, eps = self._tensors, self.encoder.block(layer), self.encoder.layer_norm_eps
        width = architecture.attention_width
        read = norm(tensors, block.before_attention, hidden, eps)
        queries = linear(tensors, block.query, read, width)
        keys = linear(tensors, block.key, read, width)
        values = linear(tensors, block.value, read, width)
        context = self._attend(queries, keys, values, mask, block, architecture.heads)
        added = self._drop(linear(tensors, block.attention_output, context, architecture.hidden))
        attended = norm(tensors, block.after_attention, added + hidden, eps)
        read = norm(tensors, block.before_ffn, attended, eps)
        activations = activate(tensors, block, self.activation, read, architecture.intermediate)
        added = self._drop(linear(tensors, block.ffn_out, activations, architecture.hidden))
        output = norm(tensors, block.after_ffn, added + attended, eps)
        return LayerOutput(output, queries, keys, values, context, attended, activations)

    def _attend(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        mask: Tensor,
        block: Block,
        heads: int,
    ) -> Tensor:
        """Context of every token, [batch, tokens, attention width]; arguments of the same shape."""
        length = queries.shape[1]
        places = torch.arange(length, device=queries.device)
        query, key, value = (
            torch.unflatten(x, -1, (heads, -1)).transpose(1, 2) for x in (queries, keys, values)
        )
        query, key = (rotate(x, places, block.rope_theta) for x in (query, key))
        bias = score_bias(self._tensors, self.encoder.relative_positions, block, length, heads)
        return attend(query, key, value, mask, bias).transpose(1, 2).flatten(2)

    def _drop(self, x: Tensor) -> Tensor:
        if not self._dropout:
            return x
        return F.dropout(x, self._dropout, self.training)


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor, bias: Tensor | None
) -> Tensor:
    """Scaled dot product attention, [batch, heads, tokens, head width], as its arguments.

    Args:
        queries: Queries.
        keys: Keys.
        values: Values.
        mask: True where a key may be attended to, [batch, 1, 1, tokens].
        bias: Added to the scores, [heads or 1, tokens, tokens].
    """
    added = mask
    if bias is not None:
        added = bias.to(queries.dtype).masked_fill(~mask, float("-inf"))
    if queries.device.type != "cpu" or queries.dtype != torch.bfloat16:
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=added)
    # PyTorch's fused kernel for CPUs takes ten times as long to go backward in bfloat16.
    scores = (queries * queries.shape[-1] ** -0.5) @ keys.transpose(-1, -2)
    scores = scores.masked_fill(~mask, float("-inf")) if bias is None else scores + added
    probabilities: Tensor = scores.softmax(-1)
    return probabilities @ values
