"""MPNet: BERT without token types, with a bias of attention by distance that all layers share."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

from autodistil.families.architecture import Architecture, Size
from autodistil.families.bert import BertForm
from autodistil.families.parts import Embeddings, RelativePositions, Role, Table

_NAMES = {
    "query": "attention.attn.q",
    "key": "attention.attn.k",
    "value": "attention.attn.v",
    "attention_output": "attention.attn.o",
    "after_attention": "attention.LayerNorm",
    "ffn_in": "intermediate.dense",
    "ffn_out": "output.dense",
    "after_ffn": "output.LayerNorm",
}
_PADDING = 1
"""The padding token that `transformers` takes for granted, whatever a config says."""
_BUCKETS = 32
"""The buckets of distances that it takes for granted."""


class MPNetEncoder(BertForm):
    """An MPNet.

    Attributes:
        type_vocab_size: 1: it knows no token types.
        relative_attention_num_buckets: Rows of the table of biases.
    """

    part_names: ClassVar[Mapping[str, str]] = _NAMES

    family: Literal["mpnet"] = "mpnet"
    type_vocab_size: Literal[1] = 1
    relative_attention_num_buckets: Size = _BUCKETS

    @property
    def model_class(self) -> str:
        """Class of `transformers` that holds its stock students."""
        return "MPNetModel"

    @classmethod
    def _fields(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        buckets = config.get("relative_attention_num_buckets", _BUCKETS)
        if buckets < _BUCKETS:
            raise ValueError(
                f"it has {buckets} buckets of distances, transformers reads {_BUCKETS}"
            )
        if config.get("pad_token_id", _PADDING) != _PADDING:
            raise ValueError(
                f"pad_token_id is not {_PADDING}, which transformers takes for granted"
            )
        return {
            **super()._fields({"type_vocab_size": 1, "pad_token_id": _PADDING, **config}),
            "relative_attention_num_buckets": buckets,
        }

    @property
    def embeddings(self) -> Embeddings:
        """The parts before the first layer."""
        return replace(super().embeddings, types=None, first_position=_PADDING + 1)

    @property
    def relative_positions(self) -> RelativePositions:
        """Bias of the attention scores, by the distance of two tokens."""
        rows = self.relative_attention_num_buckets
        table = Table("encoder.relative_attention_bias", rows, Role.HEADS)
        return RelativePositions(table, _BUCKETS)

    def student_config(self, architecture: Architecture) -> dict[str, Any]:
        """What the `config.json` of a student says."""
        config = super().student_config(architecture)
        del config["type_vocab_size"]
        return config | {"relative_attention_num_buckets": self.relative_attention_num_buckets}
