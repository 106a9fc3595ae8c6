"""Models in folders: loaded by `transformers` without running code from the folder."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistil.errors import InvalidInput, UnsupportedTeacher
from autodistil.models.sentence_folder import read_pooling
from autodistil.models.teacher import read_sizes
from autodistil.spaces.architecture import Architecture
from autodistil.spaces.cost import cost
from autodistil.spaces.embedding import Pooling
from autodistil.spaces.tensors import EncoderConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_STUDENT = "autodistil-bert"
_MODEL_FILES = (".json", ".txt", ".model", ".safetensors", ".bin")


@dataclass(frozen=True)
class LoadedModel:
    """A loaded model.

    Attributes:
        model: In fp32.
        tokenizer: Its tokenizer.
        pooling: How it makes a sentence vector of token vectors; None if no file says so.
    """

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    pooling: Pooling | None


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model without loading it.

    Attributes:
        sha256: Hash of its config, tokenizer, and weights.
        macs: Exact MACs of the encoder at 128 tokens; None where it is no BERT.
        params: Parameters, pooler included; None where it is no BERT.
    """

    sha256: str
    macs: int | None
    params: int | None


def load_folder(folder: Path) -> LoadedModel:
    """Load a model and its tokenizer.

    A student with heads of another width is loaded by this project's own class.

    Raises:
        InvalidInput: There is no loadable model in the folder.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    from autodistil.models.student_model import StudentConfig, StudentModel

    try:
        # False, not left out: left out, transformers stops to ask whether code may run.
        own: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        if read_config(folder).get("model_type") == _STUDENT:
            own["config"] = StudentConfig.from_pretrained(folder, local_files_only=True)
            model = StudentModel.from_pretrained(folder, dtype=torch.float32, **own)
        else:
            model = AutoModel.from_pretrained(folder, dtype=torch.float32, **own)
        tokenizer = AutoTokenizer.from_pretrained(folder, **own)
        return LoadedModel(model, tokenizer, read_pooling(str(folder)))
    except Exception as error:  # transformers meets a bad file with errors of a dozen kinds
        raise InvalidInput(
            f"{folder} holds no model that transformers can load: {error}"
        ) from error


def read_facts(folder: Path) -> ModelFacts:
    """Hash and costs of the model in a folder.

    Raises:
        InvalidInput: There is no model in the folder.
    """
    config = read_config(folder)
    digest = hashlib.sha256()
    for path in sorted((*folder.iterdir(), folder / "1_Pooling" / "config.json")):
        # The receipt names the day; the same student extracted again is the same model.
        if path.suffix in _MODEL_FILES and path.name != "receipt.json" and path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    try:
        architecture, encoder = _read_sizes(config)
    except UnsupportedTeacher:
        return ModelFacts(digest.hexdigest(), None, None)
    counted = cost(architecture, encoder, architecture.heads)
    return ModelFacts(digest.hexdigest(), counted.macs, counted.params)


def _read_sizes(config: dict[str, Any]) -> tuple[Architecture, EncoderConfig]:
    if config.get("model_type") != _STUDENT:
        return read_sizes(config)
    # One head as wide as the model passes where the student's own heads would not.
    architecture, encoder = read_sizes({**config, "model_type": "bert", "num_attention_heads": 1})
    try:
        heads = {"heads": config["num_attention_heads"], "head_width": config["head_width"]}
        return Architecture.model_validate({**architecture.model_dump(), **heads}), encoder
    except (KeyError, ValueError) as error:
        raise UnsupportedTeacher(f"The student's config.json is unusable ({error}).") from error


def read_config(folder: Path) -> dict[str, Any]:
    """The `config.json` of the model in a folder.

    Raises:
        InvalidInput: There is none that can be read.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text())
        if not isinstance(config, dict):
            raise ValueError("not a JSON object")
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"{folder} holds no model that transformers can load: {path}: {error}"
        ) from error
    return config
