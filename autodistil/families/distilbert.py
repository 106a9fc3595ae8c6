"""DistilBERT: BERT by other names, without token types and without a pooler."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from autodistil.families.architecture import Architecture
from autodistil.families.encoder import EncoderConfig, post_norm_block, read_sizes
from autodistil.families.parts import Block, Embeddings, Norm, Role, Table

_NAMES = {
    "query": "attention.q_lin",
    "key": "attention.k_lin",
    "value": "attention.v_lin",
    "attention_output": "attention.out_lin",
    "after_attention": "sa_layer_norm",
    "ffn_in": "ffn.lin1",
    "ffn_out": "ffn.lin2",
    "after_ffn": "output_layer_norm",
}
_EPSILON = 1e-12
"""Of its LayerNorms, which no config says."""


class DistilBertEncoder(EncoderConfig):
    """A DistilBERT."""

    layers_prefix = "transformer.layer."

    family: Literal["distilbert"] = "distilbert"

    @property
    def model_class(self) -> str:
        """Class of `transformers` that holds its stock students."""
        return "DistilBertModel"

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> tuple[Architecture, Self]:
        """Sizes and the rest, from a `config.json`; see `EncoderConfig.read`."""
        return read_sizes(config, "n_layers", "dim", "n_heads", "hidden_dim"), cls(
            vocab_size=config["vocab_size"],
            max_position_embeddings=config["max_position_embeddings"],
            hidden_act=config["activation"],
            layer_norm_eps=_EPSILON,
            pad_token_id=config.get("pad_token_id") or 0,
        )

    @property
    def embeddings(self) -> Embeddings:
        """The parts before the first layer."""
        return Embeddings(
            words=Table("embeddings.word_embeddings", Role.VOCAB),
            positions=Table("embeddings.position_embeddings", self.max_position_embeddings),
            norm=Norm("embeddings.LayerNorm"),
        )

    def block(self, layer: int) -> Block:
        """The parts of a layer."""
        return post_norm_block(_NAMES, f"{self.layers_prefix}{layer}.")

    def student_config(self, architecture: Architecture) -> dict[str, Any]:
        """What the `config.json` of a student says."""
        return {
            "dim": architecture.hidden,
            "n_layers": architecture.layers,
            "n_heads": architecture.heads,
            "hidden_dim": architecture.intermediate,
            "vocab_size": architecture.vocab or self.vocab_size,
            "max_position_embeddings": self.max_position_embeddings,
            "activation": self.hidden_act,
            "pad_token_id": self.pad_token_id,
            "dropout": 0.1,
            "attention_dropout": 0.1,
            "initializer_range": 0.02,
            "sinusoidal_pos_embds": False,
        }
