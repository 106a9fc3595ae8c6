import pytest
import torch

from autodistil.evaluation.packed import PackedBatch
from autodistil.models.sentence_vectors import pool
from autodistil.spaces.embedding import Pooling
from autodistil.text.corpus import Batch
from tests.factories import random_batch


@pytest.mark.parametrize("pooling", list(Pooling))
def test_pooled_vectors_are_in_the_order_of_the_batch(pooling: Pooling) -> None:
    drawn = random_batch(50, rows=6)
    order = torch.tensor([3, 0, 5, 1, 4, 2])  # rows of mixed lengths
    batch = Batch(drawn.input_ids[order], drawn.attention_mask[order])
    hidden = torch.randn(50, 7, generator=torch.Generator().manual_seed(0))
    packed = PackedBatch.of(batch)
    lengths = batch.attention_mask.sum(1)
    assert lengths.tolist() != sorted(lengths.tolist())
    found = packed.pool(hidden[packed.input_ids], pooling)
    wanted = pool(hidden[batch.input_ids], batch.attention_mask, pooling)
    assert torch.allclose(found, wanted, atol=1e-6)
