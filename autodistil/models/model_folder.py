"""Models in folders: loaded by `transformers` without running code from the folder."""

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from autodistil.errors import InvalidInput, UnsupportedTeacher
from autodistil.families.architecture import Architecture
from autodistil.families.encoder import EncoderConfig
from autodistil.families.registry import read_encoder
from autodistil.models.model_files import ModelFiles
from autodistil.models.own_models import family_of, own_module
from autodistil.models.sentence_folder import (
    WEIGHTS,
    SentenceFolder,
    read_sentence_folder,
)
from autodistil.spaces.cost import cost
from autodistil.text.lower_case import lower_first

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_MODEL_FILES = (".json", ".txt", ".model", ".safetensors", ".bin")


@dataclass(frozen=True)
class LoadedModel:
    """A loaded model.

    Attributes:
        model: In fp32.
        tokenizer: Its tokenizer.
        sentence: How it makes sentence vectors of token vectors.
    """

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    sentence: SentenceFolder


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model without loading it.

    Attributes:
        sha256: Hash of its config, tokenizer, weights, and sentence modules.
        macs: Exact MACs of the encoder at 128 tokens; None where its family is unknown.
        params: Parameters, with those of the pooler and of a map to another width; None where its
            family is unknown.
    """

    sha256: str
    macs: int | None
    params: int | None


def load_folder(folder: Path) -> LoadedModel:
    """Load a model and its tokenizer.

    A student with heads of another width is loaded by this project's own class. No code of the
    folder's is run, and nothing is asked.

    Raises:
        InvalidInput: There is no loadable model in the folder, or it makes sentence vectors in a
            way that is not supported.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    sentence = read_sentence_folder(folder)
    place = sentence.encoder_path
    family = family_of(read_config(place).get("model_type"))
    if family is None:
        ModelFiles(folder).refuse_own_code(sentence.encoder)
    try:
        loader: Any = AutoModel
        # False, not left out: left out, transformers stops to ask whether code may run.
        own: dict[str, Any] = {"dtype": torch.float32, "local_files_only": True}
        if family is not None:
            classes: Any = own_module(family)
            loader = classes.StudentModel
            own["config"] = classes.StudentConfig.from_pretrained(
                place, local_files_only=True, trust_remote_code=False
            )
        model = loader.from_pretrained(place, trust_remote_code=False, **own)
        tokenizer = AutoTokenizer.from_pretrained(
            place, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # transformers meets a bad file with errors of a dozen kinds
        raise InvalidInput(
            f"{folder} holds no model that transformers can load: {error}"
        ) from error
    if sentence.lower_case:
        lower_first(tokenizer)
    return LoadedModel(model, tokenizer, sentence)


def read_facts(folder: Path) -> ModelFacts:
    """Hash and costs of the model in a folder, and of the sentence modules that follow it.

    Raises:
        InvalidInput: There is no model in the folder, or a module cannot be read.
    """
    sentence = read_sentence_folder(folder)
    config = read_config(sentence.encoder_path)
    sha256 = _hash(folder, {folder, *(folder / inner for inner in sentence.folders)})
    try:
        architecture, encoder = _read_sizes(config)
    except UnsupportedTeacher:
        return ModelFacts(sha256, None, None)
    counted = cost(architecture, encoder, architecture.heads)
    maps = sum(_values(folder / dense.folder) for dense in sentence.dense)
    return ModelFacts(sha256, counted.macs, counted.params + maps)


def _hash(folder: Path, folders: Iterable[Path]) -> str:
    """Hash of the models' files in a folder and in those of its modules."""
    digest = hashlib.sha256()
    found = {path for place in folders if place.is_dir() for path in place.iterdir()}
    for path in sorted(found):
        # The receipt names the day; the same student extracted again is the same model.
        if path.suffix in _MODEL_FILES and path.name != "receipt.json" and path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _values(folder: Path) -> int:
    """How many values the weights in a module's folder have."""
    path = folder / WEIGHTS
    try:
        with safe_open(path, framework="numpy") as file:
            return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InvalidInput(f"{path} holds no weights of a Dense module: {error}") from error


def _read_sizes(config: dict[str, Any]) -> tuple[Architecture, EncoderConfig]:
    family = family_of(config.get("model_type"))
    if family is None:
        return read_encoder(config)
    # One head as wide as the model passes where the student's own heads would not.
    names = {"num_attention_heads", "n_heads"} & set(config)
    one = {**config, "model_type": family, **dict.fromkeys(names, 1)}
    architecture, encoder = read_encoder(one)
    try:
        heads = {"heads": config[names.pop()], "head_width": config["head_width"]}
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
