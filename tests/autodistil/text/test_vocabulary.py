"""Trimmed tokenizers say what the teacher's says, in fewer words."""

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, BertTokenizerFast, PreTrainedTokenizerFast

from autodistil.errors import InvalidInput
from autodistil.models.teacher import Teacher, trim_teacher
from autodistil.text.corpus import Corpus
from autodistil.text.vocabulary import (
    least_vocabulary,
    load_trimmed,
    rank_tokens,
    trim_tokenizer,
)
from autodistil.training.start import teacher_encoder
from tests.factories import VOCABULARY, WORDS, sentence

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LEAST = 5 + 6 + 26 + 26
"""Special tokens, marks, letters, and letters inside a word."""
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@pytest.fixture(scope="module")
def kept(embedder: Teacher, corpus: Corpus) -> tuple[int, ...]:
    """All ids by how much they are needed."""
    counts = np.bincount(corpus.train.ids, minlength=len(VOCABULARY)).astype(np.int64)
    return rank_tokens(embedder.tokenizer, counts)


@pytest.fixture(scope="module")
def trimmed(
    embedder: Teacher, kept: tuple[int, ...], tmp_path_factory: pytest.TempPathFactory
) -> "PreTrainedTokenizerBase":
    """The embedder's tokenizer with its 120 most needed tokens."""
    return load_trimmed(embedder.tokenizer, kept[:120], tmp_path_factory.mktemp("trimmed"))


def kept_words(kept: tuple[int, ...]) -> list[str]:
    return [VOCABULARY[number] for number in kept[LEAST:120]]


def test_special_tokens_come_first_then_characters_then_the_most_frequent(
    kept: tuple[int, ...], corpus: Corpus
) -> None:
    assert sorted(kept) == list(range(len(VOCABULARY)))
    assert tuple(VOCABULARY[number] for number in kept[:5]) == SPECIAL
    assert all(len(VOCABULARY[n].removeprefix("##")) == 1 for n in kept[5:LEAST])
    assert all(len(VOCABULARY[n].removeprefix("##")) > 1 for n in kept[LEAST:])
    counts = np.bincount(corpus.train.ids, minlength=len(VOCABULARY))[list(kept[LEAST:])]
    assert (counts[:-1] >= counts[1:]).all()
    assert counts[0] > counts[-1]


def test_tokens_that_occur_equally_often_keep_their_order(embedder: Teacher) -> None:
    none = np.zeros(len(VOCABULARY), np.int64)
    assert rank_tokens(embedder.tokenizer, none) == tuple(range(len(VOCABULARY)))


def test_the_least_vocabulary_is_what_is_always_kept(embedder: Teacher) -> None:
    assert least_vocabulary(embedder.tokenizer) == LEAST


def test_text_of_kept_words_is_read_as_the_teacher_reads_it(
    embedder: Teacher, trimmed: "PreTrainedTokenizerBase", kept: tuple[int, ...]
) -> None:
    rng = random.Random(0)
    for _ in range(50):
        text = " ".join(rng.choices(kept_words(kept), k=12)) + rng.choice(".!?")
        theirs, ours = (t(text)["input_ids"] for t in (embedder.tokenizer, trimmed))
        assert [kept[number] for number in ours] == theirs
        assert trimmed.decode(ours) == embedder.tokenizer.decode(theirs)


def test_any_text_of_known_characters_is_read_and_written_back(
    embedder: Teacher, trimmed: "PreTrainedTokenizerBase"
) -> None:
    rng = random.Random(1)
    texts = [sentence(rng) for _ in range(200)] + ["zyx qua'ks!", '"', "BA, be?", ""]
    longer = 0
    for text in texts:
        theirs, ours = (t(text)["input_ids"] for t in (embedder.tokenizer, trimmed))
        assert max(ours) < 120
        assert trimmed.unk_token_id not in ours
        assert trimmed.decode(ours) == embedder.tokenizer.decode(theirs)
        longer += len(ours) > len(theirs)
    assert longer > 50


def test_an_unknown_character_is_unknown_to_both(
    embedder: Teacher, trimmed: "PreTrainedTokenizerBase"
) -> None:
    for tokenizer in (embedder.tokenizer, trimmed):
        ids = tokenizer("ba € be")["input_ids"]
        assert ids.count(tokenizer.unk_token_id) == 1


def test_special_tokens_keep_their_parts_under_their_new_ids(
    embedder: Teacher, tmp_path: Path
) -> None:
    # Turned round, so that every id is another one.
    order = tuple(reversed(range(len(VOCABULARY))))
    turned = load_trimmed(embedder.tokenizer, order, tmp_path)
    last = len(VOCABULARY) - 1
    assert [turned.convert_tokens_to_ids(token) for token in SPECIAL] == [
        last - i for i in range(5)
    ]
    assert (turned.pad_token_id, turned.cls_token_id) == (last, last - 2)
    rows = turned(["ba be bi.", "ba"], padding=True)["input_ids"]
    plain = embedder.tokenizer(["ba be bi.", "ba"], padding=True)["input_ids"]
    assert [[order[number] for number in row] for row in rows] == plain
    pair, plain_pair = (t("ba", "be")["input_ids"] for t in (turned, embedder.tokenizer))
    assert [order[number] for number in pair] == plain_pair
    text = "ba [SEP] be"
    found, expected = (t(text)["input_ids"] for t in (turned, embedder.tokenizer))
    assert [order[number] for number in found] == expected


def test_a_trimmed_tokenizer_is_saved_and_loaded_whole(
    trimmed: "PreTrainedTokenizerBase", tmp_path: Path
) -> None:
    trimmed.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert len(again) == len(trimmed) == 120
    assert again.get_vocab() == trimmed.get_vocab()
    assert not (tmp_path / "vocab.txt").exists()
    assert again("bans zu.")["input_ids"] == trimmed("bans zu.")["input_ids"]


def test_the_teachers_tokenizer_stays_as_it_is(
    embedder: Teacher, kept: tuple[int, ...], tmp_path: Path
) -> None:
    before = embedder.tokenizer.backend_tokenizer.to_str()
    load_trimmed(embedder.tokenizer, kept[:100], tmp_path)
    assert embedder.tokenizer.backend_tokenizer.to_str() == before


@torch.inference_mode()
def test_a_trimmed_teacher_gives_the_teachers_vectors_of_text_of_kept_words(
    embedder: Teacher, trimmed: "PreTrainedTokenizerBase", kept: tuple[int, ...]
) -> None:
    small = trim_teacher(embedder, kept[:120], trimmed)
    assert embedder.embedding
    assert small.encoder.vocab_size == 120
    assert small.tensors["embeddings.word_embeddings.weight"].shape == (120, 64)
    assert embedder.encoder.vocab_size == len(VOCABULARY)
    words = kept_words(kept)
    texts = [" ".join(words[i : i + 9]) for i in range(0, 45, 5)]
    found = []
    for teacher in (embedder, small):
        batch = teacher.tokenizer(texts, padding=True, return_tensors="pt")
        vectors = teacher_encoder(teacher).vectors(
            batch["input_ids"],
            batch["attention_mask"],
            teacher.architecture,
            embedder.embedding.pooling,
        )
        found.append(vectors)
    assert torch.equal(*found)
    assert found[0].std(0).min() > 1e-3


def test_padding_keeps_its_id_through_a_trim(embedder: Teacher, tmp_path: Path) -> None:
    order = tuple(reversed(range(len(VOCABULARY))))
    turned = load_trimmed(embedder.tokenizer, order, tmp_path)
    small = trim_teacher(embedder, order, turned)
    assert small.encoder.pad_token_id == turned.pad_token_id == len(VOCABULARY) - 1


def test_a_special_token_cannot_be_left_out(embedder: Teacher, tmp_path: Path) -> None:
    embedder.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(InvalidInput, match=r"special token \[MASK\] cannot be left out"):
        trim_tokenizer(tmp_path, [0, 1, 2, 3, *range(5, 100)])


def test_a_token_that_the_vocabulary_lacks_is_refused(embedder: Teacher, tmp_path: Path) -> None:
    embedder.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(InvalidInput, match="no token of its vocabulary"):
        trim_tokenizer(tmp_path, [*range(100), len(VOCABULARY)])


def other_tokenizer(kind: str) -> PreTrainedTokenizerFast:
    """A tokenizer that is no WordPiece one."""
    words = {token: number for number, token in enumerate([*SPECIAL, *WORDS])}
    model = {
        "BPE": lambda: models.BPE(words, [], unk_token="[UNK]"),
        "WordLevel": lambda: models.WordLevel(words, unk_token="[UNK]"),
        "Unigram": lambda: models.Unigram([(word, -1.0) for word in words], unk_id=1),
    }[kind]()
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **dict(zip(names, SPECIAL, strict=True))
    )


@pytest.mark.parametrize("kind", ["BPE", "WordLevel", "Unigram"])
def test_a_tokenizer_of_another_kind_is_refused_by_its_name(kind: str, tmp_path: Path) -> None:
    tokenizer = other_tokenizer(kind)
    message = f"a {kind} tokenizer cannot be trimmed.*leave `vocab` out of the sub-space"
    with pytest.raises(InvalidInput, match=message):
        rank_tokens(tokenizer, np.zeros(len(tokenizer), np.int64))
    with pytest.raises(InvalidInput, match=message):
        least_vocabulary(tokenizer)
    with pytest.raises(InvalidInput, match=message):
        load_trimmed(tokenizer, range(20), tmp_path)


def test_a_token_that_was_added_beside_the_vocabulary_is_kept(
    embedder: Teacher, tmp_path: Path
) -> None:
    embedder.tokenizer.save_pretrained(tmp_path / "copy")
    added = BertTokenizerFast.from_pretrained(tmp_path / "copy")
    added.add_tokens(["<url>"])
    kept = rank_tokens(added, np.zeros(len(added), np.int64))
    assert kept[5] == len(VOCABULARY)
    assert sorted(kept) == list(range(len(added)))
    assert least_vocabulary(added) == LEAST + 1
    trimmed = load_trimmed(added, kept[:100], tmp_path / "trimmed")
    text = "ba <url> be"
    found, expected = trimmed(text)["input_ids"], added(text)["input_ids"]
    assert [kept[number] for number in found] == expected
    assert max(found) < 100
    config = json.loads((tmp_path / "trimmed" / "tokenizer.json").read_text())
    assert [token["id"] for token in config["added_tokens"]] == list(range(6))
