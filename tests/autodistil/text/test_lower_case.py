"""Tokenizers of models that are given lower-cased text."""

import pytest

from autodistil.text.lower_case import lower_first
from tests.tokenizers import KINDS, make_tokenizer


@pytest.mark.parametrize("kind", KINDS)
def test_it_lowers_before_all_else_and_only_once(kind: str) -> None:
    tokenizer = make_tokenizer(kind)
    lower = tokenizer("ba be zo éa.")["input_ids"]
    lower_first(tokenizer)
    once = tokenizer.backend_tokenizer.to_str()
    assert tokenizer("Ba BE zO Éa.")["input_ids"] == lower
    lower_first(tokenizer)
    assert tokenizer.backend_tokenizer.to_str() == once


def test_a_tokenizer_that_lowers_by_itself_stays_as_it_is() -> None:
    tokenizer = make_tokenizer("wordpiece")
    before = tokenizer.backend_tokenizer.to_str()
    assert '"lowercase":true' in before
    lower_first(tokenizer)
    assert tokenizer.backend_tokenizer.to_str() == before
