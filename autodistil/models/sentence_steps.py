"""From pooled vectors to those that users take: the modules after the pooling, as functions."""

from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, autocast, nn
from torch.nn import functional as F

from autodistil.errors import InvalidInput
from autodistil.models.model_files import ModelFiles
from autodistil.models.sentence_folder import WEIGHTS, Dense, SentenceFolder
from autodistil.models.sentence_vectors import pool

_RESIDUAL = "residual.weight"


class DenseStep(nn.Module):
    """A linear map with an activation, and perhaps its input added.

    Args:
        settings: What it is.
        tensors: `linear.weight` [out, in]; `linear.bias` [out] and `residual.weight` [out, in] if
            it has them.
    """

    def __init__(self, settings: Dense, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self.settings = settings
        self._activation: nn.Module = getattr(nn, settings.activation)()
        for name, tensor in tensors.items():
            self.register_buffer(name.replace(".", "_"), tensor.float())

    def forward(self, vectors: Tensor) -> Tensor:
        """[batch, in] to [batch, out], both fp32."""
        wanted = self.settings.in_features
        if vectors.shape[1] != wanted:
            raise InvalidInput(
                f"{self.settings.folder}: in_features is {wanted}; the vectors are "
                f"{vectors.shape[1]} wide."
            )
        own = dict(self.named_buffers())
        mapped: Tensor = self._activation(
            F.linear(vectors, own["linear_weight"], own.get("linear_bias"))
        )
        if not self.settings.residual:
            return mapped
        if "residual_weight" in own:
            return mapped + F.linear(vectors, own["residual_weight"])
        return mapped + vectors


class NormalizeStep(nn.Module):
    """Brings vectors to length 1."""

    def forward(self, vectors: Tensor) -> Tensor:
        """[batch, width] to the same."""
        return F.normalize(vectors, dim=1)


def load_steps(folder: SentenceFolder) -> nn.Sequential:
    """The modules of a folder after its pooling, frozen; [batch, hidden] to [batch, width].

    Raises:
        InvalidInput: Weights are missing or damaged.
    """
    files = ModelFiles(folder.name)
    return nn.Sequential(
        *(
            DenseStep(step, _read_tensors(files, step))
            if isinstance(step, Dense)
            else NormalizeStep()
            for step in folder.steps
        )
    ).eval()


def sentence_vectors(
    folder: SentenceFolder, steps: nn.Module, hidden: Tensor, attention_mask: Tensor
) -> Tensor:
    """Sentence vectors of an encoder's token vectors.

    Args:
        folder: Says how they are pooled.
        steps: From `load_steps`.
        hidden: [texts, tokens, hidden].
        attention_mask: 1 for tokens, 0 for padding, [texts, tokens].

    Returns:
        [texts, width], in fp32.
    """
    return apply_steps(steps, pool(hidden, attention_mask, folder.pooling))


def apply_steps(steps: nn.Module, pooled: Tensor) -> Tensor:
    """Pooled vectors through the modules after the pooling, in fp32."""
    with autocast(pooled.device.type, enabled=False):
        vectors: Tensor = steps(pooled.float())
    return vectors


def own_steps(steps: nn.Sequential) -> nn.Sequential:
    """The same without the normalisation at the end: what comes of it can still be averaged."""
    kept = list(steps)
    while kept and isinstance(kept[-1], NormalizeStep):
        kept.pop()
    return nn.Sequential(*kept)


def _read_tensors(files: ModelFiles, step: Dense) -> dict[str, Tensor]:
    path = files.find(f"{step.folder}/{WEIGHTS}")
    if path is None:
        raise InvalidInput(
            f"{files.name}/{step.folder} has no {WEIGHTS}. Files of pickled weights such as "
            "pytorch_model.bin are never read; save the model anew with sentence-transformers, "
            "which writes safetensors."
        )
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InvalidInput(f"{path} holds no weights of a Dense module: {error}") from error
    _check_tensors(path, step, tensors)
    return tensors


def _check_tensors(path: Path, step: Dense, tensors: dict[str, Tensor]) -> None:
    matrix = (step.out_features, step.in_features)
    wanted: dict[str, Sequence[int]] = {"linear.weight": matrix}
    if step.bias:
        wanted["linear.bias"] = (step.out_features,)
    if step.residual and step.in_features != step.out_features:
        wanted[_RESIDUAL] = matrix
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if found != wanted:
        raise InvalidInput(f"{path} does not fit its config.json: it holds {found}.")
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise InvalidInput(f"{path} holds values that are not finite.")
