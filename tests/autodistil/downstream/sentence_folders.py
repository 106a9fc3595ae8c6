"""What sentence-transformers writes beside an encoder, for tests."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

IDENTITY = "torch.nn.modules.linear.Identity"


def add_modules(
    folder: Path,
    weight: NDArray[np.float32] | None = None,
    bias: NDArray[np.float32] | None = None,
    activation: str = IDENTITY,
    pooling: dict[str, Any] | None = None,
    **settings: Any,
) -> None:
    """Mean pooling, a Dense module if there is a weight, and a normalisation."""
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling")]
    kinds += [("2_Dense", "Dense")] if weight is not None else []
    kinds += [("3_Normalize", "Normalize")]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds)
    ]
    write(folder / "modules.json", modules)
    write(folder / "1_Pooling" / "config.json", pooling or {"pooling_mode_mean_tokens": True})
    write(folder / "sentence_bert_config.json", settings)
    if weight is None:
        return
    write(
        folder / "2_Dense" / "config.json",
        {
            "in_features": weight.shape[1],
            "out_features": weight.shape[0],
            "bias": bias is not None,
            "activation_function": activation,
        },
    )
    tensors = {"linear.weight": weight} | ({} if bias is None else {"linear.bias": bias})
    save_file(tensors, folder / "2_Dense" / "model.safetensors")


def write(path: Path, content: object) -> None:
    """Write JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
