import gzip
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from autodistil.corpus import (
    Batch,
    Corpus,
    TokenizedText,
    corpus_files,
    corpus_fingerprint,
    read_documents,
    sentences,
    tokenize_corpus,
)
from autodistil.errors import InvalidInput
from autodistil.teacher import Teacher
from tests.factories import document, write_corpus


def test_documents_of_every_kind_of_file_are_read_in_a_fixed_order(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.jsonl").write_text('{"text": "two", "id": 2}\n\n{"text": "three"}\n')
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"text": "one"}\n'))
    (tmp_path / "sub" / "c.txt").write_text("four\nfour")
    (tmp_path / "sub" / "d.txt.gz").write_bytes(gzip.compress("fünf".encode()))
    (tmp_path / "README.md").write_text("not text")
    texts = ["one", "two", "three", "four\nfour", "fünf"]
    assert list(read_documents(tmp_path)) == texts
    assert list(read_documents(tmp_path / "b.jsonl")) == ["two", "three"]


def test_long_texts_are_cut_and_nothing_is_lost(tmp_path: Path) -> None:
    text = "abcdefghi " * 45_000
    (tmp_path / "book.txt").write_text(text)
    (tmp_path / "book.jsonl").write_text(json.dumps({"text": text}))
    for name in ("book.txt", "book.jsonl"):
        parts = list(read_documents(tmp_path / name))
        assert [len(part) for part in parts] == [200_000, 200_000, 50_000]
        assert "".join(parts) == text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("not json", "not a JSON object"),
        ('["text"]', "not a JSON object"),
        ('{"body": "x"}', "'text'"),
        ('{"text": 5}', "'text' is not a string"),
        ('{"text": null}', "'text' is not a string"),
        ("[" * 100_000, "not a JSON object"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "fine"}\n' + line + "\n")
    with pytest.raises(InvalidInput, match=f"x.jsonl, line 2: .*{message}"):
        list(read_documents(path))


@pytest.mark.parametrize("damage", ["truncated", "no gzip", "flipped"])
def test_a_damaged_gzip_file_is_named(tmp_path: Path, damage: str) -> None:
    whole = bytearray(gzip.compress("".join(random.Random(0).choices("abcdef", k=9000)).encode()))
    if damage == "truncated":
        content = bytes(whole[:-200])
    elif damage == "no gzip":
        content = b"plain text"
    else:
        whole[len(whole) // 2] ^= 0xFF
        content = bytes(whole)
    (tmp_path / "x.txt.gz").write_bytes(content)
    with pytest.raises(InvalidInput, match="x.txt.gz"):
        list(read_documents(tmp_path))


def test_a_folder_without_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a,b")
    with pytest.raises(InvalidInput, match=r"\*\.jsonl"):
        corpus_files(tmp_path)
    with pytest.raises(InvalidInput, match="missing"):
        corpus_files(tmp_path / "missing")


def test_bytes_that_are_no_utf8_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"caf\xe9.")
    assert list(read_documents(tmp_path)) == ["caf\ufffd."]


def test_the_fingerprint_is_of_names_and_contents(tmp_path: Path) -> None:
    folder = write_corpus(tmp_path / "corpus", documents=4)
    first = corpus_fingerprint(folder)
    assert corpus_fingerprint(folder) == first
    (folder / "c.txt").write_text("changed")
    changed = corpus_fingerprint(folder)
    (folder / "c.txt").rename(folder / "e.txt")
    assert len({first, changed, corpus_fingerprint(folder)}) == 3


def test_sentences_are_split_at_their_ends() -> None:
    text = 'One is. Two, e.g. this! "Three?" (Four.) 5 is\nsix\n\n  \nSeven'
    assert sentences(text) == [
        "One is.",
        "Two, e.g. this!",
        '"Three?',
        "(Four.",
        "5 is",
        "six",
        "Seven",
    ]
    assert sentences(" \n ") == []


def test_the_held_out_documents_are_others_and_about_one_in_a_hundred(
    teacher: Teacher, tmp_path: Path
) -> None:
    rng = random.Random(3)
    texts = [document(rng) for _ in range(2000)]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    corpus = tokenize_corpus(tmp_path / "x.jsonl", teacher.tokenizer, tmp_path / "cache")
    counts = [int(part._documents[-1]) + 1 for part in (corpus.train, corpus.held_out)]
    assert sum(counts) == 2000
    assert 8 < counts[1] < 40
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


def test_a_tokenizer_without_the_special_tokens_is_refused(
    teacher: Teacher, corpus_folder: Path, tmp_path: Path
) -> None:
    teacher.tokenizer.save_pretrained(tmp_path / "tokenizer")
    from transformers import BertTokenizerFast

    bare = BertTokenizerFast.from_pretrained(tmp_path / "tokenizer")
    bare.pad_token = None
    with pytest.raises(InvalidInput, match=r"\[PAD\]"):
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
