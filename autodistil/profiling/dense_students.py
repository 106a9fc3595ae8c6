"""Dense students made ready to be timed: random ones of given sizes, or one from its folder."""

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistil.errors import InvalidInput
from autodistil.extraction.export import model_config
from autodistil.extraction.onnx_graph import ONNX_FILE, import_onnx, onnx_bytes
from autodistil.extraction.onnx_runtime import feed, import_onnxruntime, open_session
from autodistil.families.architecture import Architecture
from autodistil.families.encoder import EncoderConfig
from autodistil.families.registry import longest_text
from autodistil.latency.conditions import Conditions
from autodistil.latency.measurement import Forward
from autodistil.models.model_folder import load_folder, read_config
from autodistil.models.own_models import student_class

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

_ALIGNMENT = 64
"""Two tensors begin a multiple of so many numbers apart, so that each begins with a cache line."""
_SCALE = 0.05
"""Standard deviation of random weights; large enough to keep denormal numbers away."""


class RandomStudents:
    """Students with random weights that all lie in the same piece of memory.

    A student's own tensors lie apart, as they do in a model that was loaded, but two students
    overlap: dozens of them need no more memory than the largest.

    Args:
        students: All that will be asked for.
        encoder: Vocabulary, positions, and activation.
        conditions: How they are run.
        seed: Of weights and token ids.
    """

    def __init__(
        self,
        students: Sequence[Architecture],
        encoder: EncoderConfig,
        conditions: Conditions,
        seed: int = 0,
    ) -> None:
        import torch

        self.conditions, self._encoder, self._seed = conditions, encoder, seed
        self._ready: dict[Architecture, Forward] = {}
        size = max(
            sum(_padded(prod(shape)) for shape in encoder.shapes(student).values())
            for student in students
        )
        generator = torch.Generator().manual_seed(seed)
        memory = torch.randn(size, generator=generator).mul_(_SCALE)
        self._memory = memory.to(getattr(torch, conditions.dtype))

    def tensors(self, architecture: Architecture) -> "dict[str, Tensor]":
        """Tensors of a student by the names of `EncoderConfig.shapes`: views, not copies."""
        tensors, offset = {}, 0
        for name, shape in self._encoder.shapes(architecture).items():
            count = prod(shape)
            tensors[name] = self._memory[offset : offset + count].view(shape)
            offset += _padded(count)
        return tensors

    def forward(self, architecture: Architecture) -> Forward:
        """A student made ready to run."""
        vocab_size = self._encoder.vocab_size
        if self.conditions.runtime == "onnxruntime":
            # Built anew for every turn: a session copies its weights, and many would fill memory.
            content = onnx_bytes(architecture, self._encoder, self.tensors(architecture))
            return _onnx_forward(content, vocab_size, self.conditions, self._seed)
        if architecture not in self._ready:
            model = _model(architecture, self._encoder, self.tensors(architecture))
            self._ready[architecture] = _torch_forward(model, self.conditions, self._seed)
        return self._ready[architecture]


def folder_forward(folder: Path, conditions: Conditions, seed: int = 0) -> Forward:
    """The student in an exported folder, loaded and made ready to run.

    torch runs `model.safetensors`, onnxruntime runs `model.onnx`.

    Args:
        folder: The folder.
        conditions: How it is run.
        seed: Of the token ids.

    Raises:
        InvalidInput: The folder holds no such model, it has too few positions, or a package is
            missing.
    """
    import torch

    config = read_config(folder)
    check_conditions(conditions, longest_text(config) or 0)
    if conditions.runtime == "onnxruntime":
        path = folder / ONNX_FILE
        if not path.is_file():
            raise InvalidInput(f"{folder} holds no {ONNX_FILE} for onnxruntime.")
        return _onnx_forward(str(path), _size(config, "vocab_size", folder), conditions, seed)
    model = load_folder(folder).model.to(getattr(torch, conditions.dtype))
    return _torch_forward(model, conditions, seed)


def _size(config: dict[str, Any], name: str, folder: Path) -> int:
    size = config.get(name)
    if not isinstance(size, int) or size < 1:
        raise InvalidInput(f"The config.json in {folder} has no {name} that is a positive number.")
    return size


def _padded(count: int) -> int:
    return -(-count // _ALIGNMENT) * _ALIGNMENT


def check_conditions(conditions: Conditions, positions: int) -> None:
    """Refuse conditions under which students with so many positions cannot be run here.

    Raises:
        InvalidInput: The sequence is longer, or a package is missing.
    """
    if conditions.runtime == "onnxruntime":
        import_onnx()
        import_onnxruntime()
    if conditions.sequence_length > positions:
        raise InvalidInput(
            f"{conditions.sequence_length} tokens are more than the {positions} positions that "
            "the students have."
        )


def _model(
    architecture: Architecture, encoder: EncoderConfig, tensors: "dict[str, Tensor]"
) -> "PreTrainedModel":
    """A model of the class that an exported student loads as, around the tensors given."""
    encoder = encoder.keep_layers(range(architecture.layers))
    settings = model_config(architecture, encoder)
    settings.pop("model_type")
    settings.pop("auto_map", None)
    model = student_class(encoder, architecture)
    dtype = next(iter(tensors.values())).dtype
    loaded: PreTrainedModel = model.from_pretrained(
        None,
        config=model.config_class(**settings),
        state_dict=tensors,
        dtype=dtype,
        trust_remote_code=False,
    )
    return loaded


def _torch_forward(model: "PreTrainedModel", conditions: Conditions, seed: int) -> Forward:
    import torch

    model.eval()  # type: ignore[no-untyped-call]  # transformers is half typed
    ids = _token_ids(model.config.vocab_size, conditions, seed)
    mask = torch.ones_like(ids)

    @torch.inference_mode()
    def forward() -> object:
        return model(input_ids=ids, attention_mask=mask)

    return forward


def _onnx_forward(
    model: str | bytes, vocab_size: int, conditions: Conditions, seed: int
) -> Forward:
    session = open_session(model, conditions.threads)
    ids = _token_ids(vocab_size, conditions, seed).numpy()
    inputs = feed(session, ids, ids * 0 + 1)
    return lambda: session.run(None, inputs)


def _token_ids(vocab_size: int, conditions: Conditions, seed: int) -> "Tensor":
    """Random token ids, [batch, tokens]."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    shape = (conditions.batch_size, conditions.sequence_length)
    return torch.randint(vocab_size, shape, generator=generator)
