"""One corpus in several vocabularies."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from autodistil.errors import InvalidInput
from autodistil.models.teacher import Teacher
from autodistil.text.corpus import TokenizedText
from autodistil.text.vocabulary_texts import Texts, read_texts
from tests.autodistil.text.test_vocabulary import LEAST, other_tokenizer
from tests.factories import VOCABULARY, build_tokenizer, write_corpus


def words(text: TokenizedText, tokenizer: object, sentence: int) -> str:
    ids = text.ids[text.starts[sentence] : text.starts[sentence + 1]].tolist()
    return tokenizer.decode(ids)  # type: ignore[attr-defined,no-any-return]


def test_a_sentence_is_the_same_in_every_vocabulary(
    embedder_texts: Texts, embedder: Teacher
) -> None:
    texts = embedder_texts
    assert texts.kept is not None
    assert set(texts.by_vocab) == {80, 120}
    assert texts.largest is texts.by_vocab[120]
    for vocab, text in texts.train.items():
        assert vocab is not None
        assert text.ids.max() < vocab
        assert len(text) == len(texts.own.train)
        assert np.array_equal(text.documents, texts.own.train.documents)
        # Of the largest vocabulary's tokenizer, the smaller one's is the beginning.
        for sentence in range(0, len(text), 17):
            expected = words(texts.own.train, embedder.tokenizer, sentence)
            assert words(text, texts.tokenizer, sentence) == expected
    assert {vocab: len(text) for vocab, text in texts.held_out.items()} == dict.fromkeys(
        (80, 120), len(texts.own.held_out)
    )


def test_the_largest_vocabulary_is_that_of_the_most_needed_tokens(embedder_texts: Texts) -> None:
    kept = embedder_texts.kept
    assert kept is not None
    assert len(kept) == len(set(kept)) == len(embedder_texts.tokenizer) == 120
    counts = np.bincount(embedder_texts.own.train.ids, minlength=len(VOCABULARY))
    lost = sorted(set(range(len(VOCABULARY))) - set(kept))
    assert counts[list(kept[LEAST:])].min() >= counts[lost].max()


def test_texts_are_longer_in_smaller_vocabularies(embedder_texts: Texts) -> None:
    found = embedder_texts.tokens_per_text()
    assert list(found) == [80, 120]
    assert found[80] > found[120] > 1
    for vocab, ratio in found.items():
        tokens = embedder_texts.by_vocab[vocab].held_out.tokens
        assert ratio == pytest.approx(tokens / embedder_texts.own.held_out.tokens, abs=1e-4)


def test_without_an_axis_the_teachers_tokens_are_the_only_ones(
    corpus_folder: Path, embedder: Teacher, tmp_path: Path
) -> None:
    texts = read_texts(corpus_folder, embedder.tokenizer, (), tmp_path)
    assert texts.by_vocab == {None: texts.own}
    assert texts.kept is None
    assert texts.tokenizer is embedder.tokenizer
    assert texts.largest is texts.own
    assert texts.tokens_per_text() == {}


def test_the_whole_vocabulary_gives_texts_of_the_teachers_length(
    corpus_folder: Path, embedder: Teacher, tmp_path: Path
) -> None:
    texts = read_texts(corpus_folder, embedder.tokenizer, (len(VOCABULARY),), tmp_path)
    assert texts.kept is not None
    assert texts.tokens_per_text() == {len(VOCABULARY): 1.0}
    ids = np.array(texts.kept)[texts.train[len(VOCABULARY)].ids]
    assert np.array_equal(ids, texts.own.train.ids)


@pytest.mark.parametrize(
    "vocab", [(1,), (LEAST,), (LEAST, 100), (100, len(VOCABULARY) + 1), (1 << 20,)]
)
def test_an_impossible_vocabulary_is_refused_with_what_is_possible(
    vocab: tuple[int, ...], corpus_folder: Path, embedder: Teacher, tmp_path: Path
) -> None:
    message = f"more than the {LEAST} special tokens .* at most the {len(VOCABULARY)} tokens"
    with pytest.raises(InvalidInput, match=message):
        read_texts(corpus_folder, embedder.tokenizer, vocab, tmp_path)


def test_a_tokenizer_that_cannot_be_trimmed_is_refused_only_if_it_has_to_be(
    corpus_folder: Path, tmp_path: Path
) -> None:
    tokenizer = other_tokenizer("WordLevel")
    assert read_texts(corpus_folder, tokenizer, (), tmp_path).own.train.tokens > 100
    with pytest.raises(InvalidInput, match="a WordLevel tokenizer cannot be trimmed"):
        read_texts(corpus_folder, tokenizer, (100,), tmp_path)


READ = """
import sys
from pathlib import Path
from transformers import BertTokenizerFast
from autodistil.text.vocabulary_texts import read_texts

tokenizer, corpus, cache = sys.argv[1:]
texts = read_texts(
    Path(corpus), BertTokenizerFast.from_pretrained(tokenizer), (80, 120), Path(cache)
)
print([int(text.ids.sum()) for text in texts.train.values()])
"""


def test_processes_may_read_texts_with_one_cache_at_the_same_time(tmp_path: Path) -> None:
    build_tokenizer(tmp_path / "tokenizer")
    corpus, cache = write_corpus(tmp_path / "corpus", 2000), tmp_path / "cache"
    command = [sys.executable, "-c", READ]
    command += map(str, (tmp_path / "tokenizer", corpus, cache))
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    found = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0, 0], found
    assert found[0][0] == found[1][0]
    parts = sorted(path.name.split("-", 1)[1] for path in cache.iterdir())
    assert parts == ["held-out"] * 3 + ["train"] * 3
