"""What a student costs: parameters, multiply-accumulates (MACs), FLOPs, and bytes.

Two countings stand side by side. The exact one uses the real shapes. The paper's one
(`paper_params`, `paper_macs`) takes a head to be hidden / teacher-heads wide and reproduces
the paper's Table 7; its code keeps the teacher's wider heads, so the two differ.
A budget is enforced on the exact cost.
"""

import json
from collections import Counter
from math import prod
from typing import Literal

from pydantic import BaseModel, ConfigDict

from autodistil.spaces.mixture import Sizes
from autodistil.spaces.tensors import EncoderConfig, tensor_shapes

SEQUENCE_LENGTH = 128
"""Tokens at which MACs and FLOPs are counted unless said otherwise, as in the paper."""

DType = Literal["float32", "float16"]
_BYTES: dict[DType, int] = {"float32": 4, "float16": 2}
_SAFETENSORS_DTYPE: dict[DType, str] = {"float32": "F32", "float16": "F16"}


class Cost(BaseModel):
    """Cost of one student.

    Attributes:
        params: All parameters, embeddings and pooler included.
        macs: MACs of the encoder's layers for one sequence, without embeddings and pooler.
        flops: 2 x MACs.
        size_bytes: Exact size of the student's fp32 `model.safetensors`.
        paper_params: Parameters by the paper's formula.
        paper_macs: MACs by the paper's formula, which the paper calls FLOPs.
        sequence_length: Tokens at which MACs and FLOPs are counted.
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
    architecture: Sizes,
    encoder: EncoderConfig,
    teacher_heads: int,
    sequence_length: int = SEQUENCE_LENGTH,
) -> Cost:
    """Cost of a student in both countings.

    Args:
        architecture: The student.
        encoder: Vocabulary, positions, and token types.
        teacher_heads: Number of heads of the teacher, by which the paper's formula divides.
        sequence_length: Tokens `n` of the sequence that MACs are counted for.
    """
    macs = exact_macs(architecture, sequence_length)
    return Cost(
        params=sum(prod(shape) for shape in tensor_shapes(architecture, encoder).values()),
        macs=macs,
        flops=2 * macs,
        size_bytes=weights_file_bytes(architecture, encoder),
        paper_params=_paper_params(architecture, encoder, teacher_heads),
        paper_macs=_paper_macs(architecture, teacher_heads, sequence_length),
        sequence_length=sequence_length,
    )


def exact_macs(architecture: Sizes, sequence_length: int = SEQUENCE_LENGTH) -> int:
    """MACs of the encoder's layers: projections, attention scores and values, FFN."""
    n, hidden, total = sequence_length, architecture.hidden, 0
    for sizes, layers in Counter(architecture.per_layer).items():
        projections = 4 * n * hidden * sizes.attention_width
        scores_and_values = 2 * n * n * sizes.attention_width
        ffn = 2 * n * hidden * sizes.intermediate
        total += layers * (projections + scores_and_values + ffn)
    return total


def weights_file_bytes(
    architecture: Sizes, encoder: EncoderConfig, dtype: DType = "float32"
) -> int:
    """Exact size in bytes of the student's `model.safetensors`, header included.

    Args:
        architecture: The student.
        encoder: Vocabulary, positions, and token types.
        dtype: Type of all tensors.
    """
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, shape in sorted(tensor_shapes(architecture, encoder).items()):
        end = offset + prod(shape) * _BYTES[dtype]
        header[name] = {
            "dtype": _SAFETENSORS_DTYPE[dtype],
            "shape": list(shape),
            "data_offsets": [offset, end],
        }
        offset = end
    length = len(json.dumps(header, separators=(",", ":")).encode())
    return 8 + -(-length // 8) * 8 + offset


def _paper_params(architecture: Sizes, encoder: EncoderConfig, teacher_heads: int) -> int:
    h = architecture.hidden
    total: float = h * (
        encoder.vocab_size + encoder.max_position_embeddings + encoder.type_vocab_size + 2
    )
    for sizes, layers in Counter(architecture.per_layer).items():
        attention = h * h + 3 * h * h * sizes.heads / teacher_heads + 6 * h
        ffn = 2 * h * sizes.intermediate + sizes.intermediate + 3 * h
        total += layers * (attention + ffn)
    return round(total + h * h + 2 * h)


def _paper_macs(architecture: Sizes, teacher_heads: int, n: int) -> int:
    h, total = architecture.hidden, 0.0
    for sizes, layers in Counter(architecture.per_layer).items():
        attention = (3 * n * h * h + 2 * n * n * h) * sizes.heads / teacher_heads + n * h * h
        ffn = 2 * n * h * sizes.intermediate
        total += layers * (attention + ffn)
    return round(total + n * h * h + 2 * h)
