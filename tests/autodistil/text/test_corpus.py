import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from autodistil.errors import InvalidInput
from autodistil.models.teacher import Teacher
from autodistil.text.corpus import (
    Batch,
    Corpus,
    TokenizedText,
    tokenize_corpus,
)
from autodistil.text.sentences import sentences
from tests.factories import document, write_corpus


def test_the_held_out_documents_are_others_and_about_one_in_32(
    teacher: Teacher, tmp_path: Path
) -> None:
    rng = random.Random(3)
    texts = [document(rng) for _ in range(2000)]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    corpus = tokenize_corpus(tmp_path / "x.jsonl", teacher.tokenizer, tmp_path / "cache")
    counts = [int(part._documents[-1]) + 1 for part in (corpus.train, corpus.held_out)]
    assert sum(counts) == 2000
    assert 40 < counts[1] < 90
    found = sorted(decode(teacher, part, i) for part in (corpus.train, corpus.held_out)
                   for i in range(len(part)))  # fmt: skip
    assert found == sorted(normal(s) for text in texts for s in sentences(text))


def decode(teacher: Teacher, text: TokenizedText, sentence: int) -> str:
    ids = text._ids[text._starts[sentence] : text._starts[sentence + 1]]
    return normal(teacher.tokenizer.decode(ids.tolist()))


def normal(text: str) -> str:
    """Without case and spaces, which the tokenizer does not keep."""
    return text.lower().replace(" ", "")


def test_the_arrays_are_reused_unless_files_or_limit_change(
    teacher: Teacher, tmp_path: Path
) -> None:
    folder, cache = write_corpus(tmp_path / "corpus", documents=20), tmp_path / "cache"
    first = tokenize_corpus(folder, teacher.tokenizer, cache)
    stamps = {path: path.stat().st_mtime_ns for path in cache.rglob("*.npy")}
    again = tokenize_corpus(folder, teacher.tokenizer, cache)
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.npy")} == stamps
    assert (again.sha256, again.train.tokens) == (first.sha256, first.train.tokens)
    fewer = tokenize_corpus(folder, teacher.tokenizer, cache, max_documents=10)
    assert fewer.train.tokens < first.train.tokens
    (folder / "c.txt").write_text("Other text. Of two sentences.")
    assert tokenize_corpus(folder, teacher.tokenizer, cache).sha256 != first.sha256


def test_a_killed_tokenisation_is_completed(teacher: Teacher, tmp_path: Path) -> None:
    folder, cache = write_corpus(tmp_path / "corpus", documents=20), tmp_path / "cache"
    first = tokenize_corpus(folder, teacher.tokenizer, cache)
    (held_out,) = cache.glob("*-held-out")
    held_out.rename(held_out.with_name(held_out.name + ".partial"))
    again = tokenize_corpus(folder, teacher.tokenizer, cache)
    assert again.held_out.tokens == first.held_out.tokens
    assert sorted(path.name.split("-", 1)[1] for path in cache.iterdir()) == ["held-out", "train"]


@pytest.mark.parametrize("texts", [[], ["Just one."], ["\u200b", "Only one with words."]])
def test_a_corpus_too_small_to_hold_anything_out_is_refused(
    teacher: Teacher, tmp_path: Path, texts: list[str]
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    with pytest.raises(InvalidInput, match="two texts at least"):
        tokenize_corpus(path, teacher.tokenizer, tmp_path / "cache")


def test_two_documents_are_enough(teacher: Teacher, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "Ba be."}\n{"text": "Bi bo. Bu da."}\n')
    corpus = tokenize_corpus(path, teacher.tokenizer, tmp_path / "cache")
    assert sorted([len(corpus.train), len(corpus.held_out)]) == [1, 2]


def test_a_tokenizer_without_padding_is_refused(
    teacher: Teacher, corpus_folder: Path, tmp_path: Path
) -> None:
    teacher.tokenizer.save_pretrained(tmp_path / "tokenizer")
    from transformers import BertTokenizerFast

    bare = BertTokenizerFast.from_pretrained(tmp_path / "tokenizer")
    bare.pad_token = None
    with pytest.raises(InvalidInput, match="no padding token; name one as pad_token"):
        tokenize_corpus(corpus_folder, bare, tmp_path / "cache")


@pytest.mark.parametrize("length", [8, 16, 64, 128])
def test_rows_are_consecutive_sentences_of_one_document(
    corpus: Corpus, teacher: Teacher, length: int
) -> None:
    text, tokenizer = corpus.train, teacher.tokenizer
    stream = text._ids.tolist()
    batch = text.batch(np.random.default_rng(0), 40, length)
    assert batch.input_ids.shape == batch.attention_mask.shape
    assert batch.input_ids.shape[0] == 40
    assert batch.input_ids.shape[1] <= length
    assert batch.tokens == int(batch.attention_mask.sum())
    starts = {int(s): i for i, s in enumerate(text._starts)}
    for ids, mask in zip(batch.input_ids.tolist(), batch.attention_mask.tolist(), strict=True):
        used = sum(mask)
        assert mask == [1] * used + [0] * (len(mask) - used)
        assert ids[0] == tokenizer.cls_token_id
        assert ids[used - 1] == tokenizer.sep_token_id
        assert ids[used:] == [tokenizer.pad_token_id] * (len(ids) - used)
        body = ids[1 : used - 1]
        places = [s for s in starts if stream[s : s + len(body)] == body]
        ends = [place + len(body) for place in places]
        whole = [
            text._documents[starts[place]] == text._documents[starts[end] - 1]
            for place, end in zip(places, ends, strict=True)
            if end in starts
        ]
        assert any(whole) or len(body) == length - 2


def test_a_batch_is_a_function_of_its_seed(corpus: Corpus) -> None:
    def draw(seed: int) -> Batch:
        return corpus.train.batch(np.random.default_rng([seed, 7]), 16, 32)

    assert torch.equal(draw(0).input_ids, draw(0).input_ids)
    assert draw(0).input_ids.tolist() != draw(1).input_ids.tolist()


def test_every_sentence_can_start_a_row(corpus: Corpus) -> None:
    class Counter:
        """Draws every sentence once, in order."""

        def __init__(self) -> None:
            self.next = -1

        def integers(self, high: int) -> int:
            assert high == len(corpus.held_out)
            self.next += 1
            return self.next

    text = corpus.held_out
    batch = text.batch(Counter(), len(text), 128)  # type: ignore[arg-type]
    firsts = batch.input_ids[:, 1].tolist()
    assert firsts == [int(text._ids[start]) for start in text._starts[:-1]]


@pytest.mark.parametrize("name", ["ids", "starts", "documents"])
@pytest.mark.parametrize("damage", ["gone", "empty", "cut off", "garbage", "of another text"])
def test_a_damaged_cache_is_refused_with_what_to_delete(
    name: str, damage: str, teacher: Teacher, tmp_path: Path
) -> None:
    folder, cache = write_corpus(tmp_path / "corpus", documents=20), tmp_path / "cache"
    tokenize_corpus(folder, teacher.tokenizer, cache)
    (train,) = cache.glob("*-train")
    path = train / f"{name}.npy"
    content = path.read_bytes()
    path.unlink()
    if damage == "of another text":
        np.save(path, np.arange(3, dtype=np.int32))
    elif damage != "gone":
        path.write_bytes({"empty": b"", "cut off": content[:-8], "garbage": b"x" * 500}[damage])
    with pytest.raises(InvalidInput, match=f"{train} is damaged .*delete the folder"):
        tokenize_corpus(folder, teacher.tokenizer, cache)
    shutil.rmtree(train)
    assert tokenize_corpus(folder, teacher.tokenizer, cache).train.tokens
