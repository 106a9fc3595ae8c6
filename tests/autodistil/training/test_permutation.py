"""Heads split into narrower ones."""

import pytest
import torch
from torch import Tensor

from autodistil.models.elastic import ElasticEncoder
from autodistil.models.teacher import Teacher
from autodistil.spaces.sub_space import SubSpace
from autodistil.text.corpus import Batch
from autodistil.training.start import (
    Start,
    cut_superlm,
    teacher_encoder,
)
from tests.autodistil.training.cuts import FULL, PLAIN, channel_order
from tests.factories import random_batch


@pytest.fixture(scope="module")
def halves(teacher: Teacher, calibration: list[Batch]) -> tuple[Start, SubSpace]:
    """The teacher with each head of 16 split into two of 8, nothing cut away."""
    space = FULL.model_copy(update={"head_width": 8})
    return cut_superlm(teacher, space, calibration, PLAIN), space


def first_layer(
    teacher: Teacher, start: Start, space: SubSpace
) -> tuple[list[Tensor], list[Tensor]]:
    """Queries, keys, values, per head and after projection, of layer 0: of teacher and of start."""
    ids = random_batch(teacher.encoder.vocab_size, rows=1, tokens=20).input_ids
    order = channel_order(teacher, start)
    outputs = []
    for encoder, sizes in (
        (teacher_encoder(teacher), teacher.architecture),
        (ElasticEncoder(start.tensors, teacher.encoder, start.kept_layers), space.largest),
    ):
        hidden = encoder.embed(ids, sizes.hidden)
        output = encoder.layer(hidden, torch.ones(1, 1, 1, 20, dtype=torch.bool), 0, sizes)
        queries, keys, values = (
            vectors[0].detach().unflatten(-1, (sizes.heads, sizes.head_width)).transpose(0, 1)
            for vectors in (output.queries, output.keys, output.values)
        )
        scores = queries @ keys.transpose(-1, -2) / sizes.head_width**0.5
        projection = encoder.tensors()["encoder.layer.0.attention.output.dense.weight"].detach()
        added = values.transpose(0, 1).flatten(1) @ projection.T
        outputs.append([scores, added, queries.square() + keys.square(), values.square()])
    outputs[0][1] = outputs[0][1][:, order]
    return outputs[0], outputs[1]


def test_the_scores_of_a_split_head_add_up_to_those_of_the_teachers_head(
    teacher: Teacher, halves: tuple[Start, SubSpace]
) -> None:
    theirs, ours = first_layer(teacher, *halves)
    added = ours[0][:4] + ours[0][4:]  # a head's two halves stand four heads apart
    matches = [
        [h for h in range(4) if torch.allclose(added[i], theirs[0][h], atol=1e-4)] for i in range(4)
    ]
    assert sorted(h for match in matches for h in match) == [0, 1, 2, 3]


def test_the_values_of_split_heads_add_the_same_to_the_residual_stream(
    teacher: Teacher, halves: tuple[Start, SubSpace]
) -> None:
    theirs, ours = first_layer(teacher, *halves)
    assert torch.allclose(ours[1], theirs[1], atol=1e-4)
    assert theirs[1].std() > 0.1


def test_the_first_half_of_a_head_holds_most_of_its_variance(
    calibration: list[Batch], teacher: Teacher, halves: tuple[Start, SubSpace]
) -> None:
    start, space = halves
    encoder = ElasticEncoder(start.tensors, teacher.encoder, start.kept_layers)
    values, rows = torch.zeros(8), 0
    for batch in calibration:
        hidden = encoder.embed(batch.input_ids, 64)
        mask = batch.attention_mask.bool()
        output = encoder.layer(hidden, mask[:, None, None, :], 0, space.largest)
        scale = torch.tensor(2.0).sqrt()  # the queries carry the divisor of the wider head
        for vectors in (output.queries * scale, output.keys):
            by_head = vectors[mask].detach().unflatten(-1, (8, 8))
            values += by_head.square().sum((0, 2))
        rows += int(mask.sum())
    assert rows > 1000
    assert (values[:4] > 1.2 * values[4:]).all()
