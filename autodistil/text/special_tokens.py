"""What a tokenizer puts around a text, by its own template, and what it pads with."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from autodistil.errors import InvalidInput
from autodistil.text.bare_tokenizer import bare_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PROBES = ("a", "0", ".", "\u4e00")
"""Texts, one of which every tokenizer knows."""


class SpecialTokens(NamedTuple):
    """The ids around the tokens of a text.

    Attributes:
        before: Ids before the text, such as that of [CLS] or <s>.
        after: Ids after it, such as that of [SEP] or </s>.
        pad: The id of padding.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    pad: int

    @property
    def around(self) -> int:
        """How many ids stand around a text."""
        return len(self.before) + len(self.after)


def special_tokens(tokenizer: "PreTrainedTokenizerBase") -> SpecialTokens:
    """What a tokenizer puts around a text.

    Args:
        tokenizer: A fast tokenizer.

    Raises:
        InvalidInput: It is no fast one, has no padding token, or makes nothing of any text.
    """
    if tokenizer.pad_token_id is None:
        raise InvalidInput(
            "The tokenizer has no padding token; name one as pad_token in its "
            "tokenizer_config.json."
        )
    bare = bare_tokenizer(tokenizer)
    for probe in _PROBES:
        try:
            encoding = bare.encode(probe)
        except Exception:  # noqa: S112  # bare ones, of a tokenizer that knows no unknown token
            continue
        own = [place for place, special in enumerate(encoding.special_tokens_mask) if not special]
        if own:
            ids: Sequence[int] = encoding.ids
            pad = int(tokenizer.pad_token_id)
            return SpecialTokens(tuple(ids[: own[0]]), tuple(ids[own[-1] + 1 :]), pad)
    raise InvalidInput(
        "The tokenizer makes no tokens of any text; save the teacher anew with its tokenizer.json."
    )
