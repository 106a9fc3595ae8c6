"""A student as an ONNX file: standard operators only, any batch and sequence length.

The graph is written by hand rather than traced: it is a BERT whose sizes and tensors are known, so
it takes milliseconds, needs only the package `onnx`, and says the same in every version of torch.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistil.errors import InvalidInput
from autodistil.optional import import_optional
from autodistil.spaces.architecture import Architecture
from autodistil.spaces.tensors import EncoderConfig, layer_tensor

if TYPE_CHECKING:
    from torch import Tensor

ONNX_FILE = "model.onnx"
"""Name of the file in a student's folder."""

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

    Inputs are `input_ids`, `attention_mask`, `token_type_ids`, [batch, tokens] of int64; outputs
    `last_hidden_state` [batch, tokens, hidden] and `pooler_output` [batch, hidden] of float32.

    Args:
        architecture: The student.
        encoder: Its activation and LayerNorm epsilon.
        tensors: Its tensors in fp32, by the names of `tensor_shapes`.
        path: The file.

    Raises:
        InvalidInput: The package `onnx` is not installed, or the student is too large.
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
        hidden, mask = self._embed(), self._mask()
        for layer in range(self._architecture.layers):
            hidden = self._layer(hidden, mask, layer)
        self._node("Identity", [hidden], output="last_hidden_state")
        first = self._node("Gather", [hidden, self._integers("first", 0)], axis=1)
        pooled = self._linear(first, "pooler.dense")
        self._node("Tanh", [pooled], output="pooler_output")
        number, width = self._onnx.TensorProto, self._architecture.hidden
        inputs = [
            self._helper.make_tensor_value_info(name, number.INT64, ["batch", "tokens"])
            for name in ("input_ids", "attention_mask", "token_type_ids")
        ]
        outputs = [
            self._helper.make_tensor_value_info(name, number.FLOAT, shape)
            for name, shape in (
                ("last_hidden_state", ["batch", "tokens", width]),
                ("pooler_output", ["batch", width]),
            )
        ]
        constants = list(self._initializers.values())
        name = self._architecture.name
        return self._helper.make_graph(self._nodes, name, inputs, outputs, constants)

    def _embed(self) -> str:
        length = self._node("Shape", ["input_ids"], start=1, end=2)
        zero, axis = self._integers("zero", [0]), self._integers("axis", [0])
        table = self._weight("embeddings.position_embeddings.weight")
        positions = self._node("Slice", [table, zero, length, axis])
        words, types = (
            self._node("Gather", [self._weight(f"embeddings.{kind}_embeddings.weight"), ids])
            for kind, ids in (("word", "input_ids"), ("token_type", "token_type_ids"))
        )
        summed = self._node("Add", [self._node("Add", [words, types]), positions])
        return self._norm(summed, "embeddings.LayerNorm")

    def _mask(self) -> str:
        """What is added to the scores, [batch, 1, 1, tokens]: 0 for tokens, `_MASKED` else."""
        kept = self._node("Cast", ["attention_mask"], to=self._onnx.TensorProto.FLOAT)
        masked = self._node("Sub", [self._float("one", 1.0), kept])
        added = self._node("Mul", [masked, self._float("masked", _MASKED)])
        return self._node("Unsqueeze", [added, self._integers("heads_and_queries", [1, 2])])

    def _layer(self, hidden: str, mask: str, layer: int) -> str:
        def name(part: str) -> str:
            return layer_tensor(layer, part)

        context = self._attend(hidden, mask, layer)
        attended = self._linear(context, name("attention.output.dense"))
        attended = self._node("Add", [attended, hidden])
        attended = self._norm(attended, name("attention.output.LayerNorm"))
        inner = self._activate(self._linear(attended, name("intermediate.dense")))
        output = self._node("Add", [self._linear(inner, name("output.dense")), attended])
        return self._norm(output, name("output.LayerNorm"))

    def _attend(self, hidden: str, mask: str, layer: int) -> str:
        heads, width = self._architecture.heads, self._architecture.head_width
        split = self._integers("split", [0, 0, heads, width])

        def heads_of(part: str, order: tuple[int, ...]) -> str:
            projected = self._linear(hidden, layer_tensor(layer, f"attention.self.{part}"))
            return self._node("Transpose", [self._node("Reshape", [projected, split])], perm=order)

        queries, values = (heads_of(part, (0, 2, 1, 3)) for part in ("query", "value"))
        keys = heads_of("key", (0, 2, 3, 1))
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

    def _linear(self, x: str, name: str) -> str:
        weight = self._weight(f"{name}.weight", transposed=True)
        return self._node("Add", [self._node("MatMul", [x, weight]), self._weight(f"{name}.bias")])

    def _norm(self, x: str, name: str) -> str:
        weight, bias = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
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

    def _integers(self, name: str, values: int | list[int]) -> str:
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
