"""Running a student's ONNX file on the CPU; the package `onnxruntime` is optional."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistil.errors import InvalidInput
from autodistil.extraction.onnx_graph import ONNX_FILE, TYPES_INPUT
from autodistil.extraction.parity import compare_with_superlm
from autodistil.extraction.receipt import Parity
from autodistil.families.architecture import Architecture
from autodistil.optional import import_optional
from autodistil.superlm.bundle import SuperLM

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from autodistil.models.elastic import ElasticEncoder

_TOLERANCE = 1e-4
"""onnxruntime fuses operators and adds up in another order than torch."""


def import_onnxruntime() -> Any:
    """The package `onnxruntime`.

    Raises:
        InvalidInput: It is not installed.
    """
    return import_optional("onnxruntime", "onnx", "Running ONNX")


def open_session(model: str | bytes, threads: int) -> Any:
    """A session on the CPU.

    Args:
        model: Path of the file, or its content.
        threads: Threads that share the work of one operator.

    Raises:
        InvalidInput: onnxruntime is not installed, or cannot read the model.
    """
    runtime = import_onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    try:
        return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of a dozen classes that onnxruntime makes up at run time
        raise InvalidInput(f"onnxruntime cannot read the model: {error}") from error


def feed(session: Any, ids: "NDArray[np.int64]", mask: "NDArray[np.int64]") -> dict[str, Any]:
    """The inputs that a session asks for, all of token type 0.

    Args:
        session: From `open_session`.
        ids: Token ids, [batch, tokens].
        mask: 1 for tokens, 0 for padding, [batch, tokens].
    """
    values = {"input_ids": ids, "attention_mask": mask, TYPES_INPUT: ids * 0}
    return {given.name: values[given.name] for given in session.get_inputs()}


def check_onnx_parity(
    superlm: SuperLM, architecture: Architecture, folder: Path, reference: "ElasticEncoder"
) -> Parity:
    """Run an exported folder's ONNX file and compare it with the SuperLM.

    Args:
        superlm: The SuperLM.
        architecture: The student.
        folder: The exported folder.
        reference: The whole SuperLM, from `load_elastic`.

    Raises:
        ParityFailure: It gives another last hidden state.
        InvalidInput: onnxruntime is not installed, or cannot read the file.
    """
    import torch

    session = open_session(str(folder / ONNX_FILE), threads=torch.get_num_threads())

    def run(ids: "Tensor", mask: "Tensor") -> "Tensor":
        inputs = feed(session, ids.numpy(), mask.numpy())
        return torch.from_numpy(session.run(["last_hidden_state"], inputs)[0])

    return compare_with_superlm(run, superlm, architecture, reference, _TOLERANCE)
