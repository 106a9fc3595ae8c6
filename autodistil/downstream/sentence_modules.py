"""What the files of sentence-transformers in a folder say: how token vectors become a sentence's.

Read without that package, and without running anything of the folder's.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistil.errors import InvalidInput
from autodistil.models.module_list import MODULES, list_modules
from autodistil.spaces.embedding import Pooling

if TYPE_CHECKING:
    from torch import Tensor

_LEGACY_POOLING = "pooling_mode_"
_ACTIVATIONS = {
    "torch.nn.modules.linear.Identity": "identity",
    "torch.nn.modules.activation.Tanh": "tanh",
}


@dataclass(frozen=True)
class SentenceModules:
    """The steps of a sentence embedder around its encoder.

    Attributes:
        encoder: Folder of the encoder, or of the static table.
        static: Whether it is a table of word vectors (`StaticEmbedding`) and no Transformer.
        max_length: Tokens of a text, [CLS] and [SEP] included; None: the folder does not say.
        lower_case: Whether texts are lower-cased before they are tokenized.
        prompt: Goes before every text; empty as a rule.
        pooling: How token vectors become one.
        after: From pooled to final vectors, step by step, [texts, width] to [texts, width].
        files: What was read, apart from the encoder's own files.
    """

    encoder: Path
    static: bool
    max_length: int | None
    lower_case: bool
    prompt: str
    pooling: Pooling
    after: "tuple[Callable[[Tensor], Tensor], ...]"
    files: tuple[Path, ...]

    def vectors(self, hidden: "Tensor", attention_mask: "Tensor") -> "Tensor":
        """Sentence vectors of an encoder's token vectors.

        Args:
            hidden: [texts, tokens, hidden].
            attention_mask: 1 for tokens, 0 for padding, [texts, tokens].

        Returns:
            [texts, width], in fp32.
        """
        from autodistil.models.sentence_vectors import pool

        vectors = pool(hidden, attention_mask, self.pooling)
        for step in self.after:
            vectors = step(vectors)
        return vectors


def read_modules(folder: Path) -> SentenceModules:
    """Read `modules.json` and the files that it names.

    A folder without that file is an encoder whose vectors are pooled as `1_Pooling` says if that is
    there, and averaged if not.

    Raises:
        InvalidInput: A file is damaged, or the folder does something that is not supported here.
    """
    listed, modules = folder / MODULES, list_modules(folder)
    pooling = Pooling.MEAN
    if not modules:
        if (folder / "1_Pooling" / "config.json").is_file():
            pooling = _read_pooling(folder / "1_Pooling" / "config.json")
        own = _encoder_settings(folder)
        return SentenceModules(folder, False, *own, prompt="", pooling=pooling, after=(), files=())
    after: list[Callable[[Tensor], Tensor]] = []
    files = [listed]
    first, *rest = modules
    if first.kind not in ("Transformer", "StaticEmbedding"):
        raise InvalidInput(f"{listed}: the first module is {first.kind}, not a Transformer.")
    static = first.kind == "StaticEmbedding"
    kinds = [module.kind for module in rest]
    if (not static and kinds[:1] != ["Pooling"]) or "Pooling" in kinds[not static :]:
        raise InvalidInput(f"{listed}: exactly one Pooling must follow the Transformer.")
    for module in rest:
        if module.kind == "Pooling":
            pooling = _read_pooling(module.folder / "config.json")
        elif module.kind == "Dense":
            after.append(_read_dense(module.folder))
        elif module.kind == "Normalize":
            after.append(_normalize)
        else:
            raise InvalidInput(
                f"{listed}: the module {module.kind} is not supported; supported are Transformer "
                "or StaticEmbedding, then Pooling, Dense and Normalize."
            )
        if module.kind != "Normalize":
            files += [p for p in sorted(module.folder.iterdir()) if p.is_file()]
    prompt = _default_prompt(folder / "config_sentence_transformers.json")
    max_length, lower_case = _encoder_settings(first.folder)
    return SentenceModules(
        first.folder, static, max_length, lower_case, prompt, pooling, tuple(after), tuple(files)
    )


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} cannot be read as JSON: {error}") from error


def _read_object(path: Path) -> dict[str, Any]:
    content = _read_json(path)
    if not isinstance(content, dict):
        raise InvalidInput(f"{path}: not a JSON object.")
    return content


def _encoder_settings(folder: Path) -> tuple[int | None, bool]:
    path = folder / "sentence_bert_config.json"
    if not path.is_file():
        return None, False
    config = _read_object(path)
    length = config.get("max_seq_length")
    if length is not None and (not isinstance(length, int) or length < 3):
        raise InvalidInput(f"{path}: max_seq_length {length!r} is no number of tokens above 2.")
    return length, bool(config.get("do_lower_case"))


def _default_prompt(path: Path) -> str:
    if not path.is_file():
        return ""
    config = _read_object(path)
    name, prompts = config.get("default_prompt_name"), config.get("prompts") or {}
    if name is None:
        return ""
    if not isinstance(prompts, dict) or not isinstance(prompts.get(name), str):
        raise InvalidInput(f"{path}: there is no prompt named {name!r}, which is the default.")
    return str(prompts[name])


def _read_pooling(path: Path) -> Pooling:
    config = _read_object(path)
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [
            key.removeprefix(_LEGACY_POOLING).removesuffix("s").removesuffix("_token")
            for key, value in config.items()
            if key.startswith(_LEGACY_POOLING) and value is True
        ]
    modes = [modes] if isinstance(modes, str) else list(modes) or ["mean"]
    if modes not in ([Pooling.MEAN], [Pooling.CLS]):
        raise InvalidInput(
            f"{path}: pooling by {' and '.join(map(str, modes))} is not supported; mean and cls "
            "are, one alone."
        )
    if config.get("include_prompt") is False:
        raise InvalidInput(f"{path}: pooling that leaves out the prompt is not supported.")
    return Pooling(modes[0])


def _read_dense(folder: Path) -> "Callable[[Tensor], Tensor]":
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from torch.nn import functional as F

    path = folder / "config.json"
    config = _read_object(path)
    # Left out, it is a tanh; the name is looked up here, and never imported.
    name = config.get("activation_function", "torch.nn.modules.activation.Tanh")
    if name not in _ACTIVATIONS:
        raise InvalidInput(
            f"{path}: the activation {name!r} is not supported; {' and '.join(_ACTIVATIONS)} are."
        )
    for key in ("use_residual", "module_output_name"):
        if config.get(key) not in (None, False, "sentence_embedding"):
            raise InvalidInput(f"{path}: {key} {config[key]!r} is not supported.")
    weights = folder / "model.safetensors"
    try:
        tensors = load_file(weights)
        weight, bias = tensors["linear.weight"].float(), tensors.get("linear.bias")
    except (OSError, KeyError, SafetensorError) as error:
        raise InvalidInput(f"{weights} holds no weights of a Dense module: {error}") from error
    wanted = (config.get("out_features"), config.get("in_features"))
    if tuple(weight.shape) != wanted or (bias is not None) != config.get("bias", True):
        raise InvalidInput(f"{weights} does not fit {path}: its weight is {tuple(weight.shape)}.")

    def dense(vectors: "Tensor") -> "Tensor":
        if vectors.shape[1] != weight.shape[1]:
            raise InvalidInput(
                f"{path}: in_features is {weight.shape[1]}; the vectors are "
                f"{vectors.shape[1]} wide."
            )
        mapped = F.linear(vectors, weight, None if bias is None else bias.float())
        return mapped.tanh() if _ACTIVATIONS[name] == "tanh" else mapped

    return dense


def _normalize(vectors: "Tensor") -> "Tensor":
    from torch.nn import functional as F

    return F.normalize(vectors, dim=1)
