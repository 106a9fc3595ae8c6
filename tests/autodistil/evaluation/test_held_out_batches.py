"""The text that students are scored on."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch

from autodistil.evaluation.held_out_text import HeldOutText, held_out_text
from autodistil.models.teacher import Teacher
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.tokenizers import load_tokenizer
from autodistil.text.corpus import Batch, Corpus
from autodistil.text.vocabulary_texts import Texts


def held_out_batches(corpus: Corpus, rounds: int) -> list[Batch]:
    return held_out_text(corpus, {None: corpus}, longest=128, rounds=rounds).own


def test_held_out_batches_are_fixed_and_of_three_lengths(corpus: Corpus) -> None:
    batches, again = (held_out_batches(corpus, rounds=2) for _ in range(2))
    assert [len(batch.input_ids) for batch in batches] == [128, 64, 32] * 2
    for batch, other, length in zip(batches, again, (32, 64, 128) * 2, strict=True):
        assert torch.equal(batch.input_ids, other.input_ids)
        assert batch.input_ids.shape[1] <= length
    assert not torch.equal(batches[0].input_ids[:, :20], batches[3].input_ids[:, :20])


def test_held_out_rows_follow_each_other_in_runs_of_eight(corpus: Corpus) -> None:
    text = " ".join(map(str, np.asarray(corpus.train.ids).tolist()))
    long = replace(corpus, held_out=corpus.train)  # the held-out part is too short for this
    batch = held_out_batches(long, rounds=1)[0]
    rows = [
        " ".join(map(str, row[mask.bool()][1:-1].tolist()))
        for row, mask in zip(batch.input_ids, batch.attention_mask, strict=True)
    ]
    following = [f"{a} {b}" in text for a, b in pairwise(rows)]
    inside = [follows for i, follows in enumerate(following) if (i + 1) % 8]
    between = [follows for i, follows in enumerate(following) if not (i + 1) % 8]
    assert np.mean(inside) > 0.8  # but for cut sentences, and the text's end
    assert np.mean(between) < 0.3


def rows_of(batch: Batch) -> list[list[int]]:
    return [
        ids[mask.bool()].tolist()
        for ids, mask in zip(batch.input_ids, batch.attention_mask, strict=True)
    ]


def test_a_row_is_the_same_text_in_every_vocabulary(
    embedder: Teacher, embedder_texts: Texts, embedder_superlm: SuperLM
) -> None:
    text = held_out_text(embedder_texts.own, embedder_texts.by_vocab, embedder.longest)
    assert set(text.by_vocab) == set(embedder_superlm.spec.space.vocab)
    longer = 0
    for vocab, batches in text.by_vocab.items():
        tokenizer = load_tokenizer(embedder_superlm, vocab)
        for own, batch in zip(text.own, batches, strict=True):
            for row, same in zip(rows_of(own), rows_of(batch), strict=True):
                words = embedder.tokenizer.decode(row[1:-1]).replace(" ", "")
                again = tokenizer.decode(same[1:-1]).replace(" ", "")
                # What is longer is cut, the teacher's rows sooner than those of students.
                full = len(same) in (64, embedder.longest)
                assert again.startswith(words) or (full and words.startswith(again))
                longer += len(same) > len(row)
    assert longer > 0
    assert max(batch.input_ids.shape[1] for b in text.by_vocab.values() for batch in b) <= 100


def test_rows_are_no_longer_than_the_teacher_reads(embedder_texts: Texts) -> None:
    text = held_out_text(embedder_texts.own, {None: embedder_texts.own}, longest=50, rounds=1)
    assert [len(batch.input_ids) for batch in text.own] == [128, 81]
    assert max(batch.input_ids.shape[1] for batch in text.own) <= 50


def test_the_hash_of_a_text_is_that_of_its_rows(embedder_texts: Texts, embedder: Teacher) -> None:
    def read(seed: int) -> HeldOutText:
        own, longest = embedder_texts.own, embedder.longest
        return held_out_text(own, embedder_texts.by_vocab, longest, seed, rounds=1)

    assert (read(0).sha256, read(0).hashes()) == (read(0).sha256, read(0).hashes())
    assert read(0).sha256 != read(1).sha256
    assert read(0).hashes() != read(1).hashes()
    assert read(0).tokens == sum(batch.tokens for batch in read(0).own)
