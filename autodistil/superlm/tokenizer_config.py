"""The `tokenizer_config.json` of a student, in words that `transformers` 4 and 5 both understand.

Version 5 writes names that version 4 does not know: the class `TokenizersBackend`, and special
tokens beyond the usual ones as a list under `extra_special_tokens`, where version 4 wants an object
and stops. Version 5 reads what is written here as well.
"""

import json
from pathlib import Path
from typing import Any

CONFIG_FILE = "tokenizer_config.json"

_CLASSES = {"TokenizersBackend": "PreTrainedTokenizerFast"}
_OF_A_LOADING = ("backend", "is_local", "local_files_only", "name_or_path", "tokenizer_file")
"""What version 5 notes of how the tokenizer was loaded; says nothing of it."""


def write_for_all(folder: Path, positions: int, token_types: bool) -> None:
    """Rewrite the file in a folder in place; without it, nothing is done.

    Args:
        folder: Of the tokenizer.
        positions: Tokens that the student can read; longer texts are cut where that is asked for.
        token_types: Whether the student tells first and second sentences apart, so that its
            tokenizer must say which is which.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        return
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for name in _OF_A_LOADING:
        config.pop(name, None)
    named = config.get("tokenizer_class")
    config["tokenizer_class"] = _CLASSES.get(str(named), named) or "PreTrainedTokenizerFast"
    if isinstance(more := config.get("extra_special_tokens"), list):
        del config["extra_special_tokens"]
        config["additional_special_tokens"] = more
    config["model_max_length"] = min(config.get("model_max_length") or positions, positions)
    if token_types:
        config["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
    path.write_text(
        json.dumps(config, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8"
    )
