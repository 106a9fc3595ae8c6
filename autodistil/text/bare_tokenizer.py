"""A tokenizer as it is under all settings of how texts are cut and padded."""

from typing import TYPE_CHECKING

from autodistil.errors import InvalidInput

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase


def bare_tokenizer(tokenizer: "PreTrainedTokenizerBase") -> "Tokenizer":
    """A copy that neither cuts nor pads; the tokenizer itself is saved in bundles as it is.

    Raises:
        InvalidInput: It is no fast tokenizer.
    """
    from tokenizers import Tokenizer

    if not tokenizer.is_fast:
        raise InvalidInput("The tokenizer is no fast one; it must come with a tokenizer.json.")
    copy = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    copy.no_truncation()
    copy.no_padding()
    copy.encode_special_tokens = tokenizer.split_special_tokens
    return copy
