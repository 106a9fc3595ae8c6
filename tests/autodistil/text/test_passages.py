"""Passages and their batches, on made-up arrays and on text."""

from collections.abc import Sequence
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pytest

from autodistil.text.corpus import Corpus, TokenizedText
from autodistil.text.passages import PassageBatches, Passages, divide
from autodistil.text.special_tokens import SpecialTokens

LENGTHS, WEIGHTS = (16, 32), (2.0, 1.0)


def text_of(folder: Path, documents: Sequence[Sequence[int]]) -> TokenizedText:
    """A text of documents given as the lengths of their sentences."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = [size for document in documents for size in document]
    numbers = [i for i, document in enumerate(documents) for _ in document]
    np.save(folder / "ids.npy", np.arange(sum(sizes), dtype=np.int32))
    np.save(folder / "starts.npy", np.cumsum([0, *sizes], dtype=np.int64))
    np.save(folder / "documents.npy", np.array(numbers, np.int32))
    return TokenizedText(folder, SpecialTokens((1,), (2,), 0))


def made_up(count: int, seed: int = 0, longest: int = 30) -> Passages:
    """So many passages of random lengths."""
    tokens = np.random.default_rng(seed).integers(3, longest + 1, count)
    first = np.arange(count)
    return Passages(first, first + 1, tokens, "0" * 64)


def equal(count: int, length: int) -> Passages:
    """So many passages of one length."""
    first = np.arange(count)
    return Passages(first, first + 1, np.full(count, length), "0" * 64)


def one_pass(batches: PassageBatches, count: int) -> list[list[int]]:
    """The batches that come before any passage comes again."""
    found: list[list[int]] = []
    while sum(map(len, found)) < count:
        found.append(batches.indices(len(found)).tolist())
    return found


def test_every_sentence_is_in_one_passage_and_no_passage_joins_two_documents(
    corpus: Corpus,
) -> None:
    text = corpus.train
    passages = divide(text, LENGTHS, WEIGHTS)
    assert passages.first[0] == 0
    assert passages.end[-1] == len(text)
    assert np.array_equal(passages.first[1:], passages.end[:-1])
    assert (passages.end > passages.first).all()
    assert np.array_equal(text.documents[passages.first], text.documents[passages.end - 1])
    assert (passages.end - passages.first).max() > 1


def test_a_passage_takes_what_fits_into_its_length_and_not_more(corpus: Corpus) -> None:
    text = corpus.train
    passages = divide(text, (24,), (1.0,))
    assert passages.tokens.max() <= 24
    for first, end, tokens in zip(passages.first, passages.end, passages.tokens, strict=True):
        size = int(text.starts[end] - text.starts[first]) + 2
        assert tokens == min(size, 24)
        assert size <= 24 or end == first + 1
        if end < len(text) and text.documents[end] == text.documents[first]:
            assert text.starts[end + 1] - text.starts[first] + 2 > 24


def test_a_sentence_that_is_too_long_is_a_passage_of_its_own_and_cut_when_read(
    tmp_path: Path,
) -> None:
    text = text_of(tmp_path, [[3, 100, 4], [5]])
    passages = divide(text, (16,), (1.0,))
    assert passages.first.tolist() == [0, 1, 2, 3]
    assert passages.tokens.tolist() == [5, 16, 6, 7]
    batch = text.read(passages.first, passages.end, 16)
    assert batch.attention_mask.sum(1).tolist() == passages.tokens.tolist()
    assert batch.input_ids[1].tolist() == [1, *range(3, 17), 2]


def test_passages_are_the_same_for_a_seed_and_others_for_another(corpus: Corpus) -> None:
    first, again = (divide(corpus.train, LENGTHS, WEIGHTS, seed=3) for _ in range(2))
    assert np.array_equal(first.first, again.first)
    assert first.sha256 == again.sha256
    hashes = {
        first.sha256,
        divide(corpus.train, LENGTHS, WEIGHTS, seed=4).sha256,
        divide(corpus.train, (32,), (1.0,)).sha256,
        divide(corpus.held_out, LENGTHS, WEIGHTS, seed=3).sha256,
    }
    assert len(hashes) == 4


def test_lengths_are_drawn_as_often_as_their_weights_say(tmp_path: Path) -> None:
    text = text_of(tmp_path, [[1] * 40_000])
    passages = divide(text, (10, 50), (3.0, 1.0))
    lengths, counts = np.unique(passages.tokens[:-1], return_counts=True)
    assert lengths.tolist() == [10, 50]
    assert counts[0] / counts.sum() == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize("neighbours", [1, 2, 8])
@pytest.mark.parametrize("count", [1, 2, 3, 9, 64, 65, 129, 1000, 4097])
def test_a_pass_reads_every_passage_once_and_then_again_in_another_order(
    count: int, neighbours: int
) -> None:
    batches = PassageBatches(made_up(count), 256, neighbours, seed=0)
    first = one_pass(batches, count)
    assert sorted(chain.from_iterable(first)) == list(range(count))
    second = [batches.indices(len(first) + number).tolist() for number in range(len(first))]
    assert len(set(chain.from_iterable(second))) > count / 2
    if count > 20:
        assert second != first


@pytest.mark.parametrize("neighbours", [1, 4])
def test_no_batch_is_a_passage_alone_where_there_are_two(neighbours: int) -> None:
    # So few slots for such long passages that a pass is sorted in up to three runs.
    for count in range(2, 300):
        batches = PassageBatches(equal(count, 30), 64, neighbours, seed=count)
        assert min(map(len, one_pass(batches, count))) >= 2, count


@pytest.mark.parametrize("neighbours", [1, 4])
def test_batches_fill_their_slots_and_do_not_pass_them(neighbours: int) -> None:
    passages = made_up(5000)
    found = one_pass(PassageBatches(passages, 512, neighbours, seed=0), 5000)
    sizes = [len(rows) * int(passages.tokens[rows].max()) for rows in found]
    # What is left over of a run joins the batch before it: a row at most, of 30 tokens.
    assert max(sizes) <= 512 + 30
    assert sum(size > 512 for size in sizes) < len(sizes) / 20
    padding = 1 - passages.tokens.sum() / sum(sizes)
    assert padding < (0.05 if neighbours == 1 else 0.4)
    assert np.mean(sizes) > 400


@pytest.mark.parametrize("seed", range(3))
def test_neighbours_stay_together(seed: int) -> None:
    for rows in one_pass(PassageBatches(made_up(400), 512, 4, seed), 400):
        blocks = [rows[i : i + 4] for i in range(0, len(rows), 4)]
        for block in blocks:
            assert block[0] % 4 == 0
            assert all(b == a + 1 for a, b in pairwise(block))


def test_a_batch_is_a_function_of_seed_and_number_in_whatever_order_it_is_asked_for() -> None:
    passages = made_up(300)
    forward = PassageBatches(passages, 256, 1, seed=5)
    expected = [forward.indices(number).tolist() for number in range(200)]
    backward = PassageBatches(passages, 256, 1, seed=5)
    assert [backward.indices(n).tolist() for n in reversed(range(200))] == expected[::-1]
    other = PassageBatches(passages, 256, 1, seed=6)
    assert [other.indices(number).tolist() for number in range(200)] != expected


@pytest.mark.parametrize("documents", [[[5]], [[5, 6]], [[5], [6]]])
def test_a_text_of_one_or_two_passages_is_read_again_and_again(
    documents: list[list[int]], tmp_path: Path
) -> None:
    passages = divide(text_of(tmp_path, documents), (8,), (1.0,))
    assert len(passages) == sum(map(len, documents))
    batches = PassageBatches(passages, 64, 8, seed=0)
    for number in range(5):
        assert sorted(batches.indices(number).tolist()) == list(range(len(passages)))
