"""The text that students are scored on."""

from itertools import pairwise

import numpy as np
import torch

from autodistil.evaluation.evaluation import held_out_batches
from autodistil.models.teacher import Teacher
from autodistil.text.corpus import Corpus


def test_held_out_batches_are_fixed_and_of_three_lengths(corpus: Corpus) -> None:
    batches, again = (held_out_batches(corpus.held_out, rounds=2) for _ in range(2))
    assert [len(batch.input_ids) for batch in batches] == [128, 64, 32] * 2
    for batch, other, length in zip(batches, again, (32, 64, 128) * 2, strict=True):
        assert torch.equal(batch.input_ids, other.input_ids)
        assert batch.input_ids.shape[1] <= length
    assert not torch.equal(batches[0].input_ids[:, :20], batches[3].input_ids[:, :20])


def test_held_out_rows_follow_each_other_in_runs_of_eight(corpus: Corpus, teacher: Teacher) -> None:
    text = " ".join(map(str, np.asarray(corpus.train._ids).tolist()))
    batch = held_out_batches(corpus.train, rounds=1)[0]
    rows = [
        " ".join(map(str, row[mask.bool()][1:-1].tolist()))
        for row, mask in zip(batch.input_ids, batch.attention_mask, strict=True)
    ]
    following = [f"{a} {b}" in text for a, b in pairwise(rows)]
    inside = [follows for i, follows in enumerate(following) if (i + 1) % 8]
    between = [follows for i, follows in enumerate(following) if not (i + 1) % 8]
    assert np.mean(inside) > 0.8  # but for cut sentences, and the text's end
    assert np.mean(between) < 0.3
