"""A student as an ONNX file: standard operators only, any batch and sequence length.

The graph is written by hand rather than traced: its sizes and tensors are known, so
it takes milliseconds, needs only the package `onnx`, and says the same in every version of torch.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistil.errors import InvalidInput
from autodistil.families.architecture import Architecture
from autodistil.families.encoder import EncoderConfig
from autodistil.families.parts import Block, Linear, Norm, RelativePositions, Table
from autodistil.optional import import_optional

if TYPE_CHECKING:
    from torch import Tensor

ONNX_FILE = "model.onnx"
"""Name of the file in a student's folder."""
TYPES_INPUT = "token_type_ids"

_OPSET = 20
"""The first with the operator Gelu; onnxruntime reads it from 1.17 on."""
_IR_VERSION = 9
_MASKED = -1e9
"""Added to the scores of padding."""
_MAX_BYTES = (1 << 31) - (1 << 20)
"""A protobuf message ends at 2 GiB."""


def write_onnx(
    architecture: Architecture,
    encoder: EncoderConfig,
    tensors: "Mapping[str, Tensor]",
    path: Path,
) -> None:
    """Write a student as an ONNX file.

    Inputs are those that the exported tokenizer gives (`onnx_inputs`), [batch, tokens] of int64.
    Outputs are `last_hidden_state` [batch, tokens, hidden] and, where there is a pooler,
    `pooler_output` [batch, hidden] of float32.

    Args:
        architecture: The student.
        encoder: Its activation and LayerNorm epsilon.
        tensors: Its tensors in fp32, by the names of `EncoderConfig.shapes`.
        path: The file.

    Raises:
        InvalidInput: The package `onnx` is not installed, the student is too large, or its family
            has no ONNX graph.
    """
    path.write_bytes(onnx_bytes(architecture, encoder, tensors))


def onnx_bytes(
    architecture: Architecture, encoder: EncoderConfig, tensors: "Mapping[str, Tensor]"
) -> bytes:
    """The content of the file that `write_onnx` writes; arguments as there.

    Raises:
        InvalidInput: The package `onnx` is not installed, or the student is too large.
    """
    onnx = import_onnx()
    if not encoder.has_onnx_graph:
        raise InvalidInput(f"Students of {encoder.family} cannot be written as ONNX; leave it out.")
    if sum(4 * tensor.numel() for tensor in tensors.values()) > _MAX_BYTES:
        raise InvalidInput(f"{architecture.name} is too large for one ONNX file (2 GiB).")
    graph = _Graph(architecture, encoder, tensors).build()
    model = onnx.helper.make_model(
        graph,
        producer_name="autodistil",
        ir_version=_IR_VERSION,
        opset_imports=[onnx.helper.make_opsetid("", _OPSET)],
    )
    content: bytes = model.SerializeToString()
    return content


def onnx_inputs(encoder: EncoderConfig) -> tuple[str, ...]:
    """Names of a graph's inputs: token types are among them where there are several."""
    types = (TYPES_INPUT,) if encoder.token_types > 1 else ()
    return ("input_ids", "attention_mask", *types)


def import_onnx() -> Any:
    """The package `onnx`, which is optional.

    Raises:
        InvalidInput: It is not installed.
    """
    return import_optional("onnx", "onnx", "Writing ONNX")


class _Graph:
    """Nodes and initializers of one student, collected from the embeddings on."""

    def __init__(
        self, architecture: Architecture, encoder: EncoderConfig, tensors: "Mapping[str, Tensor]"
    ) -> None:
        onnx = import_onnx()
        self._helper, self._onnx = onnx.helper, onnx
        self._architecture, self._encoder, self._tensors = architecture, encoder, tensors
        self._nodes: list[Any] = []
        self._initializers: dict[str, Any] = {}

    def build(self) -> Any:
        """The whole graph."""
        encoder = self._encoder
        hidden, mask = self._embed(), self._mask()
        if encoder.relative_positions is not None:
            mask = self._node("Add", [mask, self._score_bias(encoder.relative_positions)])
        for layer in range(self._architecture.layers):
            hidden = self._layer(hidden, mask, encoder.block(layer))
        self._node("Identity", [hidden], output="last_hidden_state")
        names = ["last_hidden_state"]
        if encoder.pooler is not None:
            first = self._node("Gather", [hidden, self._integers("first", 0)], axis=1)
            pooled = self._linear(first, encoder.pooler)
            self._node("Tanh", [pooled], output="pooler_output")
            names.append("pooler_output")
        number, width = self._onnx.TensorProto, self._architecture.hidden
        inputs = [
            self._helper.make_tensor_value_info(name, number.INT64, ["batch", "tokens"])
            for name in onnx_inputs(encoder)
        ]
        shapes = {
            "last_hidden_state": ["batch", "tokens", width],
            "pooler_output": ["batch", width],
        }
        outputs = [
            self._helper.make_tensor_value_info(name, number.FLOAT, shapes[name]) for name in names
        ]
        constants = list(self._initializers.values())
        name = self._architecture.name
        return self._helper.make_graph(self._nodes, name, inputs, outputs, constants)

    def _embed(self) -> str:
        parts = self._encoder.embeddings
        summed = self._node("Gather", [self._weight(f"{parts.words.name}.weight"), "input_ids"])
        if parts.types is not None:
            known = TYPES_INPUT in onnx_inputs(self._encoder)
            types = TYPES_INPUT if known else self._integers("only_type", [[0]])
            table = self._weight(f"{parts.types.name}.weight")
            summed = self._node("Add", [summed, self._node("Gather", [table, types])])
        if parts.positions is not None:
            positions = self._positions(parts.positions, parts.first_position)
            summed = self._node("Add", [summed, positions])
        summed = self._norm(summed, parts.norm)
        return summed if parts.projection is None else self._linear(summed, parts.projection)

    def _positions(self, table: Table, first: int) -> str:
        """Embeddings of the positions, [tokens, width], or [batch, tokens, width] where they follow
        the tokens that are no padding.
        """
        weight = self._weight(f"{table.name}.weight")
        if not first:
            return self._node("Gather", [weight, self._places()])
        integer = self._onnx.TensorProto.INT64
        pad = self._integers("pad", first - 1)
        padding = self._node("Equal", ["input_ids", pad])
        kept = self._node("Cast", [self._node("Not", [padding])], to=integer)
        counted = self._node("CumSum", [kept, self._integers("along", 1)])
        rows = self._node("Add", [self._node("Mul", [counted, kept]), pad])
        return self._node("Gather", [weight, rows])

    def _places(self) -> str:
        """Numbers of the tokens of a text, from 0 on, [tokens]."""
        length = self._node("Shape", ["input_ids"], start=1, end=2)
        length = self._node("Squeeze", [length, self._integers("axis", [0])])
        return self._node("Range", [self._integers("from", 0), length, self._integers("step", 1)])

    def _mask(self) -> str:
        """What is added to the scores, [batch, 1, 1, tokens]: 0 for tokens, `_MASKED` else."""
        kept = self._node("Cast", ["attention_mask"], to=self._onnx.TensorProto.FLOAT)
        masked = self._node("Sub", [self._float("one", 1.0), kept])
        added = self._node("Mul", [masked, self._float("masked", _MASKED)])
        return self._node("Unsqueeze", [added, self._integers("heads_and_queries", [1, 2])])

    def _score_bias(self, relative: RelativePositions) -> str:
        """What is added to the scores by the distance of two tokens, [1, heads, tokens, tokens].

        The buckets of all distances that the positions allow are looked up in one table.
        """
        import torch

        from autodistil.models.primitives import buckets

        longest = self._encoder.positions
        found = buckets(torch.arange(1 - longest, longest), relative)
        by_distance = self._integers("bucket_of_distance", found.tolist())
        places = self._places()
        keys = self._node("Unsqueeze", [places, self._integers("axis", [0])])
        queries = self._node("Unsqueeze", [places, self._integers("last_axis", [1])])
        distance = self._node("Sub", [keys, queries])
        rows = self._node("Add", [distance, self._integers("longest", longest - 1)])
        bucket = self._node("Gather", [by_distance, rows])
        table = self._weight(f"{relative.table.name}.weight")
        bias = self._node("Gather", [table, bucket])
        bias = self._node("Transpose", [bias], perm=(2, 0, 1))
        return self._node("Unsqueeze", [bias, self._integers("axis", [0])])

    def _layer(self, hidden: str, mask: str, block: Block) -> str:
        context = self._attend(hidden, mask, block)
        attended = self._linear(context, block.attention_output)
        attended = self._node("Add", [attended, hidden])
        attended = self._norm(attended, block.after_attention)
        inner = self._activate(self._linear(attended, block.ffn_in))
        output = self._node("Add", [self._linear(inner, block.ffn_out), attended])
        return self._norm(output, block.after_ffn)

    def _attend(self, hidden: str, mask: str, block: Block) -> str:
        heads, width = self._architecture.heads, self._architecture.head_width
        split = self._integers("split", [0, 0, heads, width])

        def heads_of(part: Linear, order: tuple[int, ...]) -> str:
            projected = self._linear(hidden, part)
            return self._node("Transpose", [self._node("Reshape", [projected, split])], perm=order)

        queries, values = (heads_of(part, (0, 2, 1, 3)) for part in (block.query, block.value))
        keys = heads_of(block.key, (0, 2, 3, 1))
        scale = self._float("scale", width**-0.5)
        scores = self._node("Mul", [self._node("MatMul", [queries, keys]), scale])
        weights = self._node("Softmax", [self._node("Add", [scores, mask])], axis=-1)
        context = self._node("MatMul", [weights, values])
        context = self._node("Transpose", [context], perm=(0, 2, 1, 3))
        return self._node("Reshape", [context, self._integers("join", [0, 0, heads * width])])

    def _activate(self, x: str) -> str:
        kind = self._encoder.hidden_act
        if kind == "relu":
            return self._node("Relu", [x])
        if kind == "silu":
            return self._node("Mul", [x, self._node("Sigmoid", [x])])
        return self._node("Gelu", [x], approximate="none" if kind == "gelu" else "tanh")

    def _linear(self, x: str, part: Linear) -> str:
        weight = self._weight(f"{part.name}.weight", transposed=True)
        bias = self._weight(f"{part.name}.bias")
        return self._node("Add", [self._node("MatMul", [x, weight]), bias])

    def _norm(self, x: str, part: Norm | None) -> str:
        if part is None:
            return x
        weight, bias = self._weight(f"{part.name}.weight"), self._weight(f"{part.name}.bias")
        epsilon = self._encoder.layer_norm_eps
        return self._node("LayerNormalization", [x, weight, bias], axis=-1, epsilon=epsilon)

    def _node(self, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        output = output or f"{kind}_{len(self._nodes)}"
        self._nodes.append(self._helper.make_node(kind, inputs, [output], **attributes))
        return output

    def _weight(self, name: str, transposed: bool = False) -> str:
        tensor = self._tensors[name].detach().float()
        self._add(name, (tensor.T if transposed else tensor).contiguous().numpy())
        return name

    def _integers(self, name: str, values: int | list[int] | list[list[int]]) -> str:
        import numpy as np

        self._add(name, np.array(values, dtype=np.int64))
        return name

    def _float(self, name: str, value: float) -> str:
        import numpy as np

        self._add(name, np.array(value, dtype=np.float32))
        return name

    def _add(self, name: str, values: Any) -> None:
        if name not in self._initializers:
            self._initializers[name] = self._onnx.numpy_helper.from_array(values, name)
