"""Batches hold what a tokenizer makes of a text, whatever it puts around it and pads with."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from autodistil.errors import InvalidInput
from autodistil.text.corpus import tokenize_corpus
from autodistil.text.passages import divide
from autodistil.text.special_tokens import SpecialTokens, special_tokens
from tests.factories import sentence
from tests.tokenizers import KINDS, make_tokenizer

AROUND = {
    "wordpiece": SpecialTokens((2,), (3,), 0),
    "bpe": SpecialTokens((0,), (2,), 1),
    "unigram": SpecialTokens((0,), (2,), 1),
    "bare": SpecialTokens((), (), 3),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_around_a_text_is_what_the_tokenizers_template_says(kind: str) -> None:
    tokenizer = make_tokenizer(kind)
    assert special_tokens(tokenizer) == AROUND[kind]
    tokenizer.backend_tokenizer.enable_padding(length=40)  # as some tokenizer.json ask for
    tokenizer.backend_tokenizer.enable_truncation(2)
    assert special_tokens(tokenizer) == AROUND[kind]


def test_a_template_of_several_tokens_is_kept_whole() -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = make_tokenizer("bpe")
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> <mask> $A </s> </s>",
        special_tokens=[("<s>", 0), ("<mask>", 4), ("</s>", 2)],
    )
    assert special_tokens(tokenizer) == SpecialTokens((0, 4), (2, 2), 1)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_what_the_tokenizer_makes_of_the_sentences(kind: str, tmp_path: Path) -> None:
    tokenizer, rng = make_tokenizer(kind), random.Random(5)
    lines = [sentence(rng) for _ in range(40)]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in lines))
    text = tokenize_corpus(tmp_path / "x.jsonl", tokenizer, tmp_path / "cache").train
    rows = np.arange(len(text))
    batch = text.read(rows, rows + 1, 128)
    wanted = {tuple(tokenizer(line)["input_ids"]) for line in lines}
    pad, found = AROUND[kind].pad, set()
    for ids, mask in zip(batch.input_ids, batch.attention_mask, strict=True):
        assert (ids[mask == 0] == pad).all()
        found.add(tuple(ids[mask == 1].tolist()))
    assert found <= wanted
    assert len(found) > 30
    around = AROUND[kind].around
    short = text.read(rows, rows + 1, 6)
    assert short.input_ids.shape[1] == 6
    assert short.input_ids[0, : len(AROUND[kind].before)].tolist() == list(AROUND[kind].before)
    passages = divide(text, (16, 32), (1.0, 1.0))
    lengths = text.starts[passages.end] - text.starts[passages.first] + around
    assert (passages.tokens == np.minimum(lengths, 32)).all()


def test_a_tokenizer_that_makes_nothing_of_any_text_is_refused() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    empty = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"<pad>": 0})), pad_token="<pad>"
    )
    with pytest.raises(InvalidInput, match="makes no tokens of any text"):
        special_tokens(empty)
