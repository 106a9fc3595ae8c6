"""Running a student's ONNX file on the CPU; the package `onnxruntime` is optional."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistil.errors import InvalidInput
from autodistil.extraction.onnx_graph import ONNX_FILE, TYPES_INPUT, onnx_inputs
from autodistil.extraction.parity import compare_with_superlm
from autodistil.extraction.receipt import Parity
from autodistil.families.architecture import Architecture
from autodistil.optional import import_optional
from autodistil.superlm.bundle import SuperLM

if TYPE_CHECKING:
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

    with_types = TYPES_INPUT in onnx_inputs(superlm.spec.encoder)

    def run(ids: "Tensor", mask: "Tensor") -> "Tensor":
        inputs = {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}
        inputs |= {TYPES_INPUT: torch.zeros_like(ids).numpy()} if with_types else {}
        return torch.from_numpy(session.run(["last_hidden_state"], inputs)[0])

    return compare_with_superlm(run, superlm, architecture, reference, _TOLERANCE)
