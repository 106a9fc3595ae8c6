"""Tokenizers that lower the text themselves, for models that are given lower-cased text."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def lower_first(tokenizer: "PreTrainedTokenizerBase") -> None:
    """Make a tokenizer lower the text before all else it does, in place.

    As sentence-transformers does where `do_lower_case` is set beside a model. Done again, it
    changes nothing.

    Args:
        tokenizer: A fast tokenizer.
    """
    from tokenizers.normalizers import BertNormalizer, Lowercase, Sequence

    backend = tokenizer.backend_tokenizer
    found: Any = backend.normalizer
    several = isinstance(found, Sequence)
    steps: list[Any] = list(found) if several else [found] if found else []
    lowers = (
        isinstance(step, Lowercase) or (isinstance(step, BertNormalizer) and step.lowercase)
        for step in steps
    )
    if not any(lowers):
        backend.normalizer = Sequence([Lowercase(), *steps])
