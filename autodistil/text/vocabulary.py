"""Vocabularies of the most frequent tokens, and tokenizers trimmed to them.

Half of a small model's parameters are the vectors of words, most of which a text hardly ever uses.
A SuperLM orders the tokens of its teacher: the special ones first, then every single character, and
the rest by how often they occur. A student keeps the first V of them. Every text that the teacher
can write in known characters, so can the student; a rare word becomes a few more pieces.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from autodistil.errors import InvalidInput

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TOKENIZER_FILE = "tokenizer.json"
_CONFIG_FILE = "tokenizer_config.json"


def rank_tokens(
    tokenizer: "PreTrainedTokenizerBase", counts: npt.NDArray[np.int64]
) -> tuple[int, ...]:
    """The ids of a tokenizer's tokens, the most needed first.

    Special and other added tokens come first, in the order of their ids; then single characters and
    single characters inside a word; then the rest by falling count, and by rising id where counts
    are equal.

    Args:
        tokenizer: The teacher's.
        counts: How often each id occurs in the text, [ids].

    Raises:
        InvalidInput: The tokenizer is of a kind that cannot be trimmed.
    """
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    model = _word_piece(content)
    vocabulary: dict[str, int] = model["vocab"]
    added = sorted(token["id"] for token in content["added_tokens"])
    prefix = model["continuing_subword_prefix"]
    first = set(added)
    characters = sorted(
        number
        for token, number in vocabulary.items()
        if len(token.removeprefix(prefix)) == 1 and number not in first
    )
    first.update(characters)
    rest = sorted(set(vocabulary.values()) - first, key=lambda number: (-counts[number], number))
    return (*added, *characters, *rest)


def least_vocabulary(tokenizer: "PreTrainedTokenizerBase") -> int:
    """How many tokens `rank_tokens` puts first whatever their counts: special ones and characters.

    Raises:
        InvalidInput: The tokenizer is of a kind that cannot be trimmed.
    """
    model = _word_piece(json.loads(tokenizer.backend_tokenizer.to_str()))
    prefix = model["continuing_subword_prefix"]
    special = set(tokenizer.get_added_vocab())
    return len(special) + sum(
        len(token.removeprefix(prefix)) == 1 and token not in special for token in model["vocab"]
    )


def trim_tokenizer(folder: Path, kept: Sequence[int]) -> None:
    """Trim the tokenizer in a folder to some of its tokens, in place.

    Args:
        folder: Holds `tokenizer.json`, as `save_pretrained` writes it.
        kept: The ids that stay; the new id of a token is its place among them.

    Raises:
        InvalidInput: The tokenizer is of a kind that cannot be trimmed, or a special token would
            be lost.
    """
    path = folder / TOKENIZER_FILE
    content = json.loads(path.read_text(encoding="utf-8"))
    places = {old: new for new, old in enumerate(kept)}
    path.write_text(
        json.dumps(_trimmed(content, places), ensure_ascii=False, indent=2) + "\n",
        encoding="utf-8",
    )
    config_path = folder / _CONFIG_FILE
    if config_path.is_file():
        config = json.loads(config_path.read_text(encoding="utf-8"))
        if decoder := config.get("added_tokens_decoder"):
            config["added_tokens_decoder"] = {
                str(places[int(old)]): token for old, token in decoder.items()
            }
        config_path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "vocab.txt").unlink(missing_ok=True)  # says what tokenizer.json says


def load_trimmed(
    tokenizer: "PreTrainedTokenizerBase", kept: Sequence[int], folder: Path
) -> "PreTrainedTokenizerBase":
    """A copy of a tokenizer with some of its tokens.

    Args:
        tokenizer: The tokenizer; stays as it is.
        kept: As of `trim_tokenizer`.
        folder: Where the copy is written.

    Raises:
        InvalidInput: As of `trim_tokenizer`.
    """
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(folder)
    trim_tokenizer(folder, kept)
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    # Some classes make a normaliser of their own instead of reading it from the file.
    loaded.backend_tokenizer.normalizer = tokenizer.backend_tokenizer.normalizer
    return loaded


def _word_piece(content: Mapping[str, Any]) -> dict[str, Any]:
    model: dict[str, Any] = content["model"]
    if model.get("type") != "WordPiece":
        raise InvalidInput(
            f"The vocabulary of a {model.get('type')} tokenizer cannot be trimmed, only that of a "
            "WordPiece one; leave `vocab` out of the sub-space."
        )
    return model


def _trimmed(content: dict[str, Any], places: Mapping[int, int]) -> dict[str, Any]:
    """The content of a `tokenizer.json` with the tokens of `places` under their new ids."""
    model = _word_piece(content)
    special = {token["content"]: token["id"] for token in content["added_tokens"]}
    if lost := [token for token, number in special.items() if number not in places]:
        raise InvalidInput(f"The special token {lost[0]} cannot be left out of a vocabulary.")
    # Tokens that were added beside the vocabulary become part of it, or they would get other ids.
    every = {**model["vocab"], **special}
    by_new = {places[number]: token for token, number in every.items() if number in places}
    vocabulary = {by_new[number]: number for number in sorted(by_new)}
    if sorted(by_new) != list(range(len(places))):
        raise InvalidInput("The tokenizer has ids that are no token of its vocabulary.")
    return {
        **content,
        "added_tokens": sorted(
            ({**token, "id": places[token["id"]]} for token in content["added_tokens"]),
            key=lambda token: token["id"],
        ),
        "padding": _renumber(content.get("padding"), places),
        "post_processor": _renumber(content.get("post_processor"), places),
        "model": {**model, "vocab": vocabulary},
    }


def _renumber(value: Any, places: Mapping[int, int]) -> Any:
    """The ids of special tokens in a part of a `tokenizer.json`, renumbered."""
    if not isinstance(value, dict):
        return value
    found = {key: _renumber(inner, places) for key, inner in value.items()}
    if "ids" in found:
        found["ids"] = [places[number] for number in found["ids"]]
    if "pad_id" in found:
        found["pad_id"] = places[found["pad_id"]]
    for name in ("cls", "sep"):  # ["[SEP]", 102], of the older processors of BERT and RoBERTa
        if isinstance(found.get(name), list) and len(found[name]) == 2:
            found[name] = [found[name][0], places[found[name][1]]]
    return found
