"""ModernBERT: LayerNorm before what reads, rotated positions, gated FFN, windows of attention."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from autodistil.families.architecture import Architecture, Size
from autodistil.families.encoder import EncoderConfig, read_sizes
from autodistil.families.parts import Block, Embeddings, Linear, Norm, Role, Table

_FULL, _SLIDING = "full_attention", "sliding_attention"
_THETA = {_FULL: ("global_rope_theta", 160_000.0), _SLIDING: ("local_rope_theta", 10_000.0)}
_EVERY = 3

Kind = Literal["full_attention", "sliding_attention"]
Theta = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ModernBertEncoder(EncoderConfig):
    """A ModernBERT.

    Attributes:
        layer_types: Which layers attend to all tokens, which to a window.
        local_attention: Width of the window in tokens.
        full_theta: Base of the rotation in layers that attend to all.
        sliding_theta: In the others.
        norm_bias: Whether LayerNorms have biases.
        attention_bias: Whether the maps of the attention have.
        mlp_bias: Whether those of the FFN have.
    """

    layers_prefix: ClassVar[str] = "layers."
    kept_first: ClassVar[tuple[int, ...]] = (
        0,
    )  # the only one without a LayerNorm before attention
    head_width_is_fixed: ClassVar[bool] = True  # a head's dimensions turn at rates of their own
    has_onnx_graph: ClassVar[bool] = False

    family: Literal["modernbert"] = "modernbert"
    layer_types: Annotated[tuple[Kind, ...], Field(min_length=1, max_length=1000)]
    local_attention: Size
    full_theta: Theta
    sliding_theta: Theta
    norm_bias: bool
    attention_bias: bool
    mlp_bias: bool

    @property
    def model_class(self) -> str:
        """Class of `transformers` that holds its stock students."""
        return "ModernBertModel"

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> tuple[Architecture, Self]:
        """Sizes and the rest, from a `config.json`; see `EncoderConfig.read`."""
        architecture = read_sizes(config)
        every = config.get("global_attn_every_n_layers", _EVERY)
        kinds = config.get("layer_types") or [
            _SLIDING if layer % every else _FULL for layer in range(architecture.layers)
        ]
        thetas = {kind: cls._theta(config, kind) for kind in (_FULL, _SLIDING)}
        return architecture, cls(
            vocab_size=config["vocab_size"],
            max_position_embeddings=config["max_position_embeddings"],
            hidden_act=config["hidden_activation"],
            layer_norm_eps=config["norm_eps"],
            pad_token_id=config.get("pad_token_id") or 0,
            layer_types=tuple(kinds),
            local_attention=config["local_attention"],
            full_theta=thetas[_FULL],
            sliding_theta=thetas[_SLIDING],
            norm_bias=config["norm_bias"],
            attention_bias=config["attention_bias"],
            mlp_bias=config["mlp_bias"],
        )

    @staticmethod
    def _theta(config: Mapping[str, Any], kind: str) -> float:
        """Base of the rotation, as new and as old configs say it."""
        if config.get("rope_scaling"):
            raise ValueError("its rotations are scaled (rope_scaling)")
        asked = (config.get("rope_parameters") or {}).get(kind) or {}
        if asked.get("rope_type", "default") != "default":
            raise ValueError(f"its rotations are of type {asked['rope_type']}")
        old, default = _THETA[kind]
        return float(asked.get("rope_theta") or config.get(old) or default)

    @property
    def embeddings(self) -> Embeddings:
        """The parts before the first layer."""
        return Embeddings(
            words=Table("embeddings.tok_embeddings", Role.VOCAB),
            norm=Norm("embeddings.norm", self.norm_bias),
        )

    def block(self, layer: int) -> Block:
        """The parts of a layer."""
        prefix = f"{self.layers_prefix}{layer}."
        full = self.layer_types[layer] == _FULL

        def attention(place: int) -> Linear:
            name = f"{prefix}attn.Wqkv"
            return Linear(name, Role.ATTENTION, Role.HIDDEN, self.attention_bias, place, 3)

        def ffn(place: int) -> Linear:
            return Linear(f"{prefix}mlp.Wi", Role.FFN, Role.HIDDEN, self.mlp_bias, place, 2)

        output = Linear(f"{prefix}attn.Wo", Role.HIDDEN, Role.ATTENTION, self.attention_bias)
        return Block(
            before_attention=Norm(f"{prefix}attn_norm", self.norm_bias) if layer else None,
            query=attention(0),
            key=attention(1),
            value=attention(2),
            attention_output=output,
            before_ffn=Norm(f"{prefix}mlp_norm", self.norm_bias),
            ffn_in=ffn(0),
            gate=ffn(1),
            ffn_out=Linear(f"{prefix}mlp.Wo", Role.HIDDEN, Role.FFN, self.mlp_bias),
            rope_theta=self.full_theta if full else self.sliding_theta,
            window=None if full else self.local_attention // 2,
        )

    @property
    def final_norm(self) -> Norm:
        """LayerNorm after the last layer."""
        return Norm("final_norm", self.norm_bias)

    def check_layers(self, layers: int) -> None:
        """Refuse a number of layers, see `EncoderConfig.check_layers`."""
        if len(self.layer_types) != layers:
            raise ValueError(f"layer_types must name {layers} layers")

    def keep_layers(self, layers: Sequence[int]) -> Self:
        """The config of an encoder that has some of the layers."""
        kinds = tuple(self.layer_types[layer] for layer in layers)
        return self.model_copy(update={"layer_types": kinds})

    def student_config(self, architecture: Architecture) -> dict[str, Any]:
        """What the `config.json` of a student says."""
        kinds = zip((_FULL, _SLIDING), (self.full_theta, self.sliding_theta), strict=True)
        return {
            "hidden_size": architecture.hidden,
            "num_hidden_layers": architecture.layers,
            "num_attention_heads": architecture.heads,
            "intermediate_size": architecture.intermediate,
            "vocab_size": architecture.vocab or self.vocab_size,
            "max_position_embeddings": self.max_position_embeddings,
            "hidden_activation": self.hidden_act,
            "norm_eps": self.layer_norm_eps,
            "norm_bias": self.norm_bias,
            "pad_token_id": self.pad_token_id,
            "attention_bias": self.attention_bias,
            "mlp_bias": self.mlp_bias,
            "layer_types": list(self.layer_types),
            "local_attention": self.local_attention,
            "global_rope_theta": self.full_theta,
            "local_rope_theta": self.sliding_theta,
            "rope_parameters": {
                kind: {"rope_type": "default", "rope_theta": theta} for kind, theta in kinds
            },
            "initializer_range": 0.02,
        }
