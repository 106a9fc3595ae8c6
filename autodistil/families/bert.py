"""BERT: absolute positions, LayerNorm after each sum, a pooler; and the form others share."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from autodistil.families.architecture import Architecture, Size
from autodistil.families.encoder import EncoderConfig, post_norm_block, read_sizes
from autodistil.families.parts import Block, Embeddings, Linear, Norm, Role, Table

_NAMES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention_output": "attention.output.dense",
    "after_attention": "attention.output.LayerNorm",
    "ffn_in": "intermediate.dense",
    "ffn_out": "output.dense",
    "after_ffn": "output.LayerNorm",
}


class BertForm(EncoderConfig):
    """An encoder whose config and parts have BERT's names.

    Attributes:
        type_vocab_size: Token types.
    """

    part_names: ClassVar[Mapping[str, str]] = _NAMES
    """What the parts of a layer are called."""

    type_vocab_size: Size

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> tuple[Architecture, Self]:
        """Sizes and the rest, from a `config.json`; see `EncoderConfig.read`."""
        if config.get("is_decoder"):
            raise ValueError("it is a decoder")
        if config.get("position_embedding_type", "absolute") != "absolute":
            raise ValueError("its positions are relative")
        return read_sizes(config), cls.model_validate(cls._fields(config))

    @classmethod
    def _fields(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        """The fields, from a `config.json`."""
        return {
            "family": config["model_type"],
            "vocab_size": config["vocab_size"],
            "max_position_embeddings": config["max_position_embeddings"],
            "type_vocab_size": config["type_vocab_size"],
            "hidden_act": config["hidden_act"],
            "layer_norm_eps": config["layer_norm_eps"],
            "pad_token_id": config.get("pad_token_id") or 0,
        }

    @property
    def embeddings(self) -> Embeddings:
        """The parts before the first layer."""
        return Embeddings(
            words=Table("embeddings.word_embeddings", Role.VOCAB),
            positions=Table("embeddings.position_embeddings", self.max_position_embeddings),
            types=Table("embeddings.token_type_embeddings", self.type_vocab_size),
            norm=Norm("embeddings.LayerNorm"),
        )

    def block(self, layer: int) -> Block:
        """The parts of a layer."""
        return post_norm_block(self.part_names, f"{self.layers_prefix}{layer}.")

    @property
    def pooler(self) -> Linear | None:
        """Map of the first token's last hidden state."""
        return Linear("pooler.dense", Role.HIDDEN, Role.HIDDEN)

    def student_config(self, architecture: Architecture) -> dict[str, Any]:
        """What the `config.json` of a student says."""
        return {
            "hidden_size": architecture.hidden,
            "num_hidden_layers": architecture.layers,
            "num_attention_heads": architecture.heads,
            "intermediate_size": architecture.intermediate,
            "vocab_size": architecture.vocab or self.vocab_size,
            "max_position_embeddings": self.max_position_embeddings,
            "type_vocab_size": self.type_vocab_size,
            "hidden_act": self.hidden_act,
            "layer_norm_eps": self.layer_norm_eps,
            "pad_token_id": self.pad_token_id,
            "hidden_dropout_prob": 0.1,
            "attention_probs_dropout_prob": 0.1,
            "initializer_range": 0.02,
        }


class BertEncoder(BertForm):
    """A BERT."""

    family: Literal["bert"] = "bert"

    @property
    def model_class(self) -> str:
        """Class of `transformers` that holds its stock students."""
        return "BertModel"
