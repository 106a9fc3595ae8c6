"""Names and shapes of an encoder's tensors: what a bundle stores, a slice copies, a cost counts.

Names are those of Hugging Face's `BertModel`, so that a slice is an export without renaming.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from autodistil.spaces.architecture import Architecture, Size

_LAYER = re.compile(r"encoder\.layer\.(\d+)\.(.+)")


class EncoderConfig(BaseModel):
    """What every student shares with the teacher, whatever its sizes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vocab_size: Size
    max_position_embeddings: Size
    type_vocab_size: Size
    hidden_act: Literal["gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu"]
    layer_norm_eps: Annotated[float, Field(gt=0, lt=1)]
    pad_token_id: Annotated[int, Field(strict=True, ge=0)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.pad_token_id >= self.vocab_size:
            raise ValueError(f"pad_token_id must be less than the vocab_size {self.vocab_size}")
        return self


def tensor_shapes(architecture: Architecture, encoder: EncoderConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of an encoder with pooler, in a fixed order."""
    hidden = architecture.hidden
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (
            architecture.vocab or encoder.vocab_size,
            hidden,
        ),
        "embeddings.position_embeddings.weight": (encoder.max_position_embeddings, hidden),
        "embeddings.token_type_embeddings.weight": (encoder.type_vocab_size, hidden),
        "embeddings.LayerNorm.weight": (hidden,),
        "embeddings.LayerNorm.bias": (hidden,),
    }
    of_a_layer = _layer_shapes(architecture)
    for layer in range(architecture.layers):
        for part, shape in of_a_layer.items():
            shapes[layer_tensor(layer, part)] = shape
    shapes["pooler.dense.weight"] = (hidden, hidden)
    shapes["pooler.dense.bias"] = (hidden,)
    return shapes


def map_name(architecture: Architecture) -> str:
    """Name of the map of the students of this depth and width, in a finished SuperLM."""
    return f"map.L{architecture.layers}-H{architecture.hidden}"


def map_shapes(architecture: Architecture, width: int) -> dict[str, tuple[int, ...]]:
    """Name and shape of the tensors of a map from a student's width to another.

    The names are those of a Dense module of sentence-transformers.
    """
    return {"linear.weight": (width, architecture.hidden), "linear.bias": (width,)}


def _layer_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    hidden, attention = architecture.hidden, architecture.attention_width
    linears = {
        "attention.self.query": (attention, hidden),
        "attention.self.key": (attention, hidden),
        "attention.self.value": (attention, hidden),
        "attention.output.dense": (hidden, attention),
        "intermediate.dense": (architecture.intermediate, hidden),
        "output.dense": (hidden, architecture.intermediate),
    }
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (out, width) in linears.items():
        shapes[f"{name}.weight"] = (out, width)
        shapes[f"{name}.bias"] = (out,)
    for norm in ("attention.output.LayerNorm", "output.LayerNorm"):
        shapes[f"{norm}.weight"] = (hidden,)
        shapes[f"{norm}.bias"] = (hidden,)
    return shapes


def layer_tensor(layer: int, part: str) -> str:
    """Full name of one tensor of a layer, for example of part `attention.self.query.weight`."""
    return f"encoder.layer.{layer}.{part}"


def split_layer_tensor(name: str) -> tuple[int, str] | None:
    """Layer and part of a tensor's name, or None for embeddings and pooler."""
    match = _LAYER.fullmatch(name)
    return (int(match[1]), match[2]) if match else None
