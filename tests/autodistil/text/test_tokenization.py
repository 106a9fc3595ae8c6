import hashlib
import random
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodistil.errors import InvalidInput
from autodistil.models.teacher import Teacher
from autodistil.text.corpus import tokenize_corpus
from autodistil.text.documents import Document
from autodistil.text.sentences import sentences
from autodistil.text.sources import open_source
from autodistil.text.text_files import TextFiles
from autodistil.text.tokenization import tokens_key
from tests.factories import document, write_corpus


@dataclass(frozen=True)
class MadeUp:
    """A source that makes its documents on the spot.

    Attributes:
        count: Number of documents.
        damaged: Raise after all of them.
    """

    count: int
    damaged: bool = False
    name: str = "made-up"

    def size(self) -> None:
        return None

    def fingerprint(self) -> str:
        return hashlib.sha256(repr(self).encode()).hexdigest()

    def documents(self) -> Iterator[Document]:
        rng = random.Random(self.count)
        for number in range(self.count):
            yield Document(document(rng), number + 1)
        if self.damaged:
            raise InvalidInput("it breaks off")


def tokenize_in_memory(folder: Path, teacher: Teacher) -> dict[str, list[list[list[int]]]]:
    """What the arrays must hold, by the plainest means: one document at a time, all in memory."""
    parts: dict[str, list[list[list[int]]]] = {"train": [], "held-out": []}
    for text in (found.text for found in TextFiles(folder).documents()):
        ids = teacher.tokenizer(sentences(text), add_special_tokens=False)["input_ids"]
        part = "held-out" if hashlib.sha256(text.encode()).digest()[0] < 8 else "train"
        parts[part].append([sentence for sentence in ids if sentence])
    if not parts["held-out"]:
        parts["held-out"] = [parts["train"].pop()]
    return parts


@pytest.mark.parametrize("documents", [2, 60, 1500])
def test_the_arrays_are_those_of_one_document_after_the_other(
    teacher: Teacher, tmp_path: Path, documents: int
) -> None:
    folder, cache = write_corpus(tmp_path / "corpus", documents), tmp_path / "cache"
    tokenize_corpus(folder, teacher.tokenizer, cache)
    key = tokens_key(TextFiles(folder).fingerprint(), teacher.tokenizer, None)
    for part, expected in tokenize_in_memory(folder, teacher).items():
        flat = [sentence for found in expected for sentence in found]
        counts = [len(found) for found in expected]
        arrays = {
            "ids": np.concatenate(flat).astype(np.int32),
            "starts": np.cumsum([0, *map(len, flat)], dtype=np.int64),
            "documents": np.repeat(np.arange(len(expected), dtype=np.int32), counts),
        }
        for name, values in arrays.items():
            stored = np.load(cache / f"{key}-{part}" / f"{name}.npy")
            assert stored.dtype == values.dtype
            assert np.array_equal(stored, values)


def test_the_tokenizer_is_left_as_it_was_though_it_cuts_and_pads(
    teacher: Teacher, teacher_folder: Path, corpus_folder: Path, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    cutting = AutoTokenizer.from_pretrained(teacher_folder)
    cutting.backend_tokenizer.enable_truncation(4)
    cutting.backend_tokenizer.enable_padding(length=9)
    before = cutting.backend_tokenizer.to_str()
    found = tokenize_corpus(corpus_folder, cutting, tmp_path / "cutting")
    expected = tokenize_corpus(corpus_folder, teacher.tokenizer, tmp_path / "plain")
    assert cutting.backend_tokenizer.to_str() == before
    assert np.array_equal(found.train._ids, expected.train._ids)


def test_arrays_are_reused_only_if_nothing_that_makes_them_has_changed(
    teacher: Teacher, teacher_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoTokenizer, BertTokenizerFast

    def key(text: str = "text", most: int | None = None, **options: Any) -> str:
        tokenizer = BertTokenizerFast.from_pretrained(teacher_folder, **options)
        return tokens_key(text, tokenizer, most)

    first = key()
    assert key() == first
    cutting = AutoTokenizer.from_pretrained(teacher_folder)
    cutting.backend_tokenizer.enable_truncation(4)
    cutting.backend_tokenizer.enable_padding(length=9)
    assert tokens_key("text", cutting, None) == first
    added = BertTokenizerFast.from_pretrained(teacher_folder)
    added.add_tokens(["babe"])
    keys = [first, key("other"), key(most=9), tokens_key("text", added, None)]
    keys += [key(do_lower_case=False), key(strip_accents=False), key(split_special_tokens=True)]
    for name in ("_KIND", "RULES"):
        with monkeypatch.context() as patch:
            patch.setattr(f"autodistil.text.tokenization.{name}", "of another time")
            keys.append(key())
    assert len(set(keys)) == len(keys)


def test_memory_does_not_grow_with_the_corpus(teacher: Teacher, tmp_path: Path) -> None:
    peaks = []
    for count in (100, 1000, 8000):  # the first one pays for what is loaded once
        tracemalloc.start()
        corpus = tokenize_corpus(MadeUp(count), teacher.tokenizer, tmp_path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert corpus.train.tokens > 30 * count
    assert peaks[2] < 1.5 * peaks[1]


def test_progress_is_in_the_unit_of_the_source(teacher: Teacher, tmp_path: Path) -> None:
    calls: list[tuple[int, int | None]] = []
    source = TextFiles(write_corpus(tmp_path / "corpus", 2000))
    tokenize_corpus(
        source, teacher.tokenizer, tmp_path, None, lambda *progress: calls.append(progress)
    )
    assert len(calls) > 3
    assert calls == sorted(calls)
    assert calls[-1] == (source.size(), source.size())


def test_progress_is_in_documents_if_their_number_is_limited(
    teacher: Teacher, tmp_path: Path
) -> None:
    calls: list[tuple[int, int | None]] = []
    tokenize_corpus(
        MadeUp(2000), teacher.tokenizer, tmp_path, 1500, lambda *progress: calls.append(progress)
    )
    assert len(calls) > 3
    assert calls == sorted(calls)
    assert calls[-1] == (1500, 1500)


def test_nothing_is_left_of_a_corpus_that_breaks_off(teacher: Teacher, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="breaks off"):
        tokenize_corpus(MadeUp(1000, damaged=True), teacher.tokenizer, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_slow_tokenizer_is_refused(corpus_folder: Path, tmp_path: Path) -> None:
    from types import SimpleNamespace

    slow = SimpleNamespace(
        is_fast=False, cls_token_id=1, sep_token_id=2, pad_token_id=0, get_vocab=lambda: {"a": 1}
    )
    with pytest.raises(InvalidInput, match="no fast one"):
        tokenize_corpus(corpus_folder, slow, tmp_path)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_no_row_joins_two_lines_of_a_file_of_sentences(teacher: Teacher, tmp_path: Path) -> None:
    lines = ["Ba be. Bi bo!", "da de", "Fa. fe. fi."] * 50
    (tmp_path / "x.txt").write_text("\n".join(lines))
    source = open_source(f"sentences:{tmp_path / 'x.txt'}")
    corpus = tokenize_corpus(source, teacher.tokenizer, tmp_path / "cache")
    texts = (corpus.train, corpus.held_out)
    assert sum(map(len, texts)) == len(lines)
    found = []
    for text in texts:
        assert np.array_equal(text._documents, np.arange(len(text)))
        found += [text._ids[start:end].tolist() for start, end in pairwise(text._starts.tolist())]
    wanted = teacher.tokenizer(lines, add_special_tokens=False)["input_ids"]
    assert sorted(found) == sorted(wanted)
