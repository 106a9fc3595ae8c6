from typing import Any

import pytest
import torch
from torch import Tensor

from autodistil.models.elastic import ElasticEncoder, LayerOutput
from autodistil.models.teacher import Teacher
from autodistil.text.corpus import Batch
from autodistil.training.objective import compared_layers, losses, make_target
from autodistil.training.settings import ObjectiveSettings, RelationLoss
from autodistil.training.start import teacher_encoder
from tests.factories import random_batch


@pytest.fixture(scope="module")
def batch(teacher: Teacher) -> Batch:
    return random_batch(teacher.encoder.vocab_size, rows=6, tokens=14)


@pytest.fixture(scope="module")
def outputs(teacher: Teacher, batch: Batch) -> list[LayerOutput]:
    encoder = teacher_encoder(teacher)
    with torch.no_grad():
        return encoder.outputs(batch.input_ids, batch.attention_mask, teacher.architecture)


def objective(**changes: Any) -> ObjectiveSettings:
    return ObjectiveSettings.model_validate({"relation_heads": 4, **changes})


EVERY_TERM = [
    {},
    {"relation_loss": "mse-softmax"},
    {"relation_loss": "mse-scores"},
    {"relation_split": "strided"},
    {"relation_layers": "every"},
    {"cosine_weight": 2.0},
    {"hidden_weight": 2.0},
    {"channel_weight": 3.0},
    {"similarity_weight": 0.0},
]


@pytest.mark.parametrize("changes", EVERY_TERM)
def test_a_student_equal_to_the_teacher_has_no_loss(
    changes: dict[str, Any], outputs: list[LayerOutput], batch: Batch
) -> None:
    settings, mask = objective(**changes), batch.attention_mask
    target = make_target(settings, mask, [outputs[i] for i in compared_layers(settings, 4)])
    found = losses(settings, outputs, target, mask, range(4))
    assert all(abs(float(loss)) < 1e-5 for loss in found)


@pytest.mark.parametrize("changes", EVERY_TERM)
def test_another_student_has_a_loss_and_padding_no_part_in_it(
    changes: dict[str, Any], teacher: Teacher, outputs: list[LayerOutput], batch: Batch
) -> None:
    settings, mask = objective(**changes), batch.attention_mask
    target = make_target(settings, mask, [outputs[i] for i in compared_layers(settings, 4)])
    padding = (1 - mask)[..., None]

    def student(noise: float) -> list[LayerOutput]:
        generator = torch.Generator().manual_seed(0)

        def change(x: Tensor) -> Tensor:
            changed = x + 0.3 * torch.randn(x.shape, generator=generator)
            return changed + noise * padding * torch.randn(x.shape, generator=generator)

        return [LayerOutput(*(change(part) for part in output)) for output in outputs]

    clean, noisy = (losses(settings, student(n), target, mask, range(4)) for n in (0.0, 5.0))
    assert float(clean.total) > 1e-4
    for a, b in zip(clean, noisy, strict=True):
        assert float(a) == pytest.approx(float(b), rel=1e-4, abs=1e-6)


def test_the_total_is_the_weighted_sum(outputs: list[LayerOutput], batch: Batch) -> None:
    mask = batch.attention_mask

    def found(**changes: Any) -> tuple[float, float, float]:
        settings = objective(**changes)
        target = make_target(settings, [outputs[-1]], mask)
        relation, similarity, total = losses(settings, outputs[:2], target, mask)
        return float(relation), float(similarity), float(total)

    relation, similarity, total = found()
    assert total == pytest.approx(relation + similarity)
    assert found(similarity_weight=3.0)[2] == pytest.approx(relation + 3 * similarity)
    for name in ("cosine_weight", "hidden_weight", "channel_weight"):
        once, twice = found(**{name: 1.0})[2] - total, found(**{name: 2.0})[2] - total
        assert twice == pytest.approx(2 * once, rel=1e-3)
        assert once > 1e-3


def test_an_earlier_teacher_layer_can_be_the_one_compared(
    outputs: list[LayerOutput], batch: Batch
) -> None:
    settings = objective(teacher_layer=-3, similarity_weight=0.0)
    assert compared_layers(settings, 4) == [1, 3]
    target = make_target(settings, [outputs[1], outputs[3]], batch.attention_mask)
    assert float(losses(settings, outputs[:2], target, batch.attention_mask).relation) < 1e-5
    assert float(losses(settings, outputs, target, batch.attention_mask).relation) > 1e-3


def test_every_layer_is_compared_with_the_one_it_was_cut_from(
    outputs: list[LayerOutput], batch: Batch
) -> None:
    settings, mask = objective(relation_layers="every"), batch.attention_mask
    target = make_target(settings, outputs, mask)
    chosen = [outputs[0], outputs[3]]
    assert float(losses(settings, chosen, target, mask, [0, 3]).relation) < 1e-5
    assert float(losses(settings, chosen, target, mask, [1, 3]).relation) > 1e-3


def test_kept_channels_are_compared_in_the_superlms_order(
    outputs: list[LayerOutput], batch: Batch
) -> None:
    settings, mask = objective(channel_weight=1.0, similarity_weight=0.0), batch.attention_mask
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    target = make_target(settings, [outputs[-1]], mask, order)
    narrow = outputs[-1]._replace(hidden=outputs[-1].hidden[..., order[:32]])
    assert float(losses(settings, [narrow], target, mask).total) < 1e-5
    wrong = outputs[-1]._replace(hidden=outputs[-1].hidden[..., :32])
    assert float(losses(settings, [wrong], target, mask).total) > 0.1


def test_relations_split_strided_differ_from_contiguous_ones(
    outputs: list[LayerOutput], batch: Batch
) -> None:
    found = []
    for split in ("contiguous", "strided"):
        settings = objective(relation_split=split)
        target = make_target(settings, [outputs[-1]], batch.attention_mask)
        found.append(float(losses(settings, outputs[:1], target, batch.attention_mask).relation))
    assert found[0] != pytest.approx(found[1], rel=1e-3)


def test_what_is_measured_on_held_out_text_is_the_same_for_all_objectives() -> None:
    ours = objective(relation_loss=RelationLoss.MSE_SCORES, hidden_weight=1.0, teacher_layer=-2)
    assert ours.measured == objective()


def test_bfloat16_attention_is_that_of_the_fused_kernel(teacher: Teacher, batch: Batch) -> None:
    encoder: ElasticEncoder = teacher_encoder(teacher)
    arguments = (batch.input_ids, batch.attention_mask, teacher.architecture)
    with torch.no_grad():
        exact = encoder(*arguments).hidden
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = encoder(*arguments).hidden
    valid = batch.attention_mask.bool()
    assert (rough.float() - exact)[valid].abs().mean() < 0.02 * exact[valid].abs().mean()
