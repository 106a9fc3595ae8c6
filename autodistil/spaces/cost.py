"""What a student costs: parameters, multiply-accumulates (MACs), FLOPs, and bytes.

Two countings stand side by side. The exact one uses the real shapes. The paper's one
(`paper_params`, `paper_macs`) takes a head to be hidden / teacher-heads wide and reproduces
the paper's Table 7; its code keeps the teacher's wider heads, so the two differ.
A budget is enforced on the exact cost.
"""

import json
import math
from collections.abc import Mapping
from math import prod
from typing import Literal

from pydantic import BaseModel, ConfigDict

from autodistil.families.architecture import Architecture
from autodistil.families.encoder import EncoderConfig
from autodistil.spaces.map_tensors import map_shapes

SEQUENCE_LENGTH = 128
"""Tokens at which MACs and FLOPs are counted unless said otherwise, as in the paper."""

DType = Literal["float32", "float16"]
_BYTES: dict[DType, int] = {"float32": 4, "float16": 2}
_SAFETENSORS_DTYPE: dict[DType, str] = {"float32": "F32", "float16": "F16"}


class Cost(BaseModel):
    """Cost of one student.

    Attributes:
        params: All parameters: embeddings, layers, pooler, and the map to the teacher's width.
        macs: MACs of the encoder's layers for one sequence, without embeddings, pooler, and map.
        flops: 2 x MACs.
        size_bytes: Exact size of the student's fp32 weights: `model.safetensors`, and
            `2_Dense/model.safetensors` where there is a map.
        paper_params: Parameters by the paper's formula.
        paper_macs: MACs by the paper's formula, which the paper calls FLOPs.
        sequence_length: Tokens at which MACs and FLOPs are counted: those of a text that has 128
            tokens in the teacher's vocabulary.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    params: int
    macs: int
    flops: int
    size_bytes: int
    paper_params: int
    paper_macs: int
    sequence_length: int


def cost(
    architecture: Architecture,
    encoder: EncoderConfig,
    teacher_heads: int,
    sequence_length: int = SEQUENCE_LENGTH,
    map_width: int | None = None,
) -> Cost:
    """Cost of a student in both countings.

    Args:
        architecture: The student.
        encoder: Vocabulary, positions, and token types.
        teacher_heads: Number of heads of the teacher, by which the paper's formula divides.
        sequence_length: Tokens `n` of the sequence that MACs are counted for.
        map_width: Width that a map brings its vectors to, if it has one.
    """
    macs = exact_macs(architecture, sequence_length, encoder.block(0).gate is not None)
    shapes = encoder.shapes(architecture)
    params, size = _params(shapes), safetensors_bytes(shapes)
    if map_width is not None:
        shapes = map_shapes(architecture, map_width)
        params, size = params + _params(shapes), size + safetensors_bytes(shapes)
    return Cost(
        params=params,
        macs=macs,
        flops=2 * macs,
        size_bytes=size,
        paper_params=_paper_params(architecture, encoder, teacher_heads),
        paper_macs=_paper_macs(architecture, teacher_heads, sequence_length),
        sequence_length=sequence_length,
    )


def text_length(tokens_per_text: float) -> int:
    """Tokens of a text that has 128 in the teacher's vocabulary.

    Args:
        tokens_per_text: Tokens of a text in a vocabulary, as a multiple of the teacher's.
    """
    return math.ceil(SEQUENCE_LENGTH * tokens_per_text)


def _params(shapes: Mapping[str, tuple[int, ...]]) -> int:
    return sum(map(prod, shapes.values()))


def exact_macs(
    architecture: Architecture, sequence_length: int = SEQUENCE_LENGTH, gated: bool = False
) -> int:
    """MACs of the encoder's layers: projections, attention scores and values, FFN.

    Windows of attention save nothing here: `transformers` computes all scores and masks some.

    Args:
        architecture: The student.
        sequence_length: Tokens of a text.
        gated: Whether a third map of the FFN gates its neurons.
    """
    n, hidden = sequence_length, architecture.hidden
    projections = 4 * n * hidden * architecture.attention_width
    scores_and_values = 2 * n * n * architecture.attention_width
    ffn = (3 if gated else 2) * n * hidden * architecture.intermediate
    return architecture.layers * (projections + scores_and_values + ffn)


def safetensors_bytes(shapes: Mapping[str, tuple[int, ...]], dtype: DType = "float32") -> int:
    """Exact size in bytes of a safetensors file, header included.

    Args:
        shapes: Its tensors.
        dtype: Type of all of them.
    """
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, shape in sorted(shapes.items()):
        end = offset + prod(shape) * _BYTES[dtype]
        header[name] = {
            "dtype": _SAFETENSORS_DTYPE[dtype],
            "shape": list(shape),
            "data_offsets": [offset, end],
        }
        offset = end
    length = len(json.dumps(header, separators=(",", ":")).encode())
    return 8 + -(-length // 8) * 8 + offset


def _paper_params(architecture: Architecture, encoder: EncoderConfig, teacher_heads: int) -> int:
    h, tables = architecture.hidden, (encoder.embeddings.positions, encoder.embeddings.types)
    embeddings = h * (
        (architecture.vocab or encoder.vocab_size)
        + sum(table.rows for table in tables if table is not None and isinstance(table.rows, int))
        + 2
    )
    attention = h * h + 3 * h * h * architecture.heads / teacher_heads + 6 * h
    ffn = 2 * h * architecture.intermediate + architecture.intermediate + 3 * h
    return round(embeddings + architecture.layers * (attention + ffn) + h * h + 2 * h)


def _paper_macs(architecture: Architecture, teacher_heads: int, n: int) -> int:
    h = architecture.hidden
    attention = (3 * n * h * h + 2 * n * n * h) * architecture.heads / teacher_heads + n * h * h
    ffn = 2 * n * h * architecture.intermediate
    return round(architecture.layers * (attention + ffn) + n * h * h + 2 * h)
