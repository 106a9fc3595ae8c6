"""What the files of sentence-transformers beside a model say about it."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autodistil.errors import UnsupportedTeacher, explain
from autodistil.spaces.embedding import Pooling, SentenceEmbedding

_POOLINGS = {
    "pooling_mode_mean_tokens": Pooling.MEAN,
    "pooling_mode_cls_token": Pooling.CLS,
}
_KNOWN = ("Transformer", "Pooling", "Normalize")


def read_embedding(name: str, hidden: int, positions: int) -> SentenceEmbedding | None:
    """How a model embeds sentences; None if no files beside it say that it does.

    Args:
        name: Folder or hub id of the model.
        hidden: Its width.
        positions: Tokens that it can read.

    Raises:
        UnsupportedTeacher: It does something that its students could not do, or a file is damaged.
    """
    modules = _read(name, "modules.json")
    pooling = _read(name, "1_Pooling/config.json")
    if modules is None and pooling is None:
        return None
    kinds = _kinds(name, modules) if modules is not None else ["Transformer", "Pooling"]
    if modules is not None and "Pooling" not in kinds:
        return None
    if pooling is None:
        raise UnsupportedTeacher(f"{name!r}: 1_Pooling/config.json, which says how, is missing.")
    transformer = _object(name, "sentence_bert_config.json")
    asked = transformer.get("max_seq_length")
    users = _object(name, "config_sentence_transformers.json")
    pooling = _as_object(name, "1_Pooling/config.json", pooling)
    if pooling.get("include_prompt", True) is False and users.get("prompts"):
        raise UnsupportedTeacher(
            f"{name!r} leaves its prompts out when it pools (include_prompt is false), which is "
            "not supported."
        )
    try:
        return SentenceEmbedding(
            width=hidden,
            pooling=_pooling(name, pooling),
            normalize="Normalize" in kinds,
            max_seq_length=min(positions, asked or positions),
            do_lower_case=bool(transformer.get("do_lower_case", False)),
            prompts=users.get("prompts") or {},
            default_prompt_name=users.get("default_prompt_name"),
            similarity=users.get("similarity_fn_name") or "cosine",
        )
    except (ValidationError, TypeError) as error:
        reason = explain(error) if isinstance(error, ValidationError) else error
        raise UnsupportedTeacher(
            f"{name!r}: the files of sentence-transformers beside it are unusable ({reason})."
        ) from error


def read_pooling(name: str) -> Pooling | None:
    """How a model pools its token vectors, whatever comes after; None if no file says so.

    Args:
        name: Folder or hub id of the model.

    Raises:
        UnsupportedTeacher: In a way that is not supported, or the file is damaged.
    """
    config = _read(name, "1_Pooling/config.json")
    if config is None:
        return None
    return _pooling(name, _as_object(name, "1_Pooling/config.json", config))


def _kinds(name: str, modules: Any) -> list[str]:
    """The kinds of modules in their order, all of them known."""
    try:
        if not isinstance(modules, list):
            raise TypeError
        kinds = [str(module["type"]).rsplit(".", 1)[-1] for module in modules]
    except (TypeError, KeyError) as error:
        raise UnsupportedTeacher(f"{name!r}: modules.json is no list of modules.") from error
    if unknown := [kind for kind in kinds if kind not in _KNOWN]:
        raise UnsupportedTeacher(
            f"{name!r} has a module of the kind {unknown[0]!r}, which its students could not "
            f"carry on; supported are {', '.join(_KNOWN)}."
        )
    return kinds


def _pooling(name: str, config: dict[str, Any]) -> Pooling:
    mode = config.get("pooling_mode")  # how newer versions of sentence-transformers say it
    active = [key for key, value in config.items() if key.startswith("pooling_mode_") and value]
    if isinstance(mode, str):
        active = [f"pooling_mode_{'cls_token' if mode == 'cls' else f'{mode}_tokens'}"]
    if len(active) != 1 or active[0] not in _POOLINGS:
        found = ", ".join(key.removeprefix("pooling_mode_") for key in active) or "nothing"
        raise UnsupportedTeacher(
            f"{name!r} pools by {found}; supported are mean_tokens and cls_token, one alone."
        )
    return _POOLINGS[active[0]]


def _object(name: str, file: str) -> dict[str, Any]:
    """A JSON file that holds an object; empty if there is no file."""
    content = _read(name, file)
    return {} if content is None else _as_object(name, file, content)


def _as_object(name: str, file: str, content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise UnsupportedTeacher(f"{name!r}: {file} is no JSON object; mend or delete it.")
    return content


def _read(name: str, file: str) -> Any:
    """A JSON file of a model; None if there is none."""
    from transformers.utils.hub import cached_file

    found = cached_file(
        name,
        file,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if found is None:
        return None
    try:
        content = json.loads(Path(found).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UnsupportedTeacher(
            f"{name!r}: {file} cannot be read ({error}); mend or delete it."
        ) from error
    if content is None:
        raise UnsupportedTeacher(f"{name!r}: {file} holds nothing; mend or delete it.")
    return content
