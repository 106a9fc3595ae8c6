from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from autodistil.models.elastic import ElasticEncoder, LayerOutput
from autodistil.models.sentence_vectors import pool
from autodistil.models.teacher import Teacher
from autodistil.spaces.embedding import Pooling
from autodistil.text.corpus import Batch
from autodistil.training.objective import (
    Target,
    active_terms,
    compared_layers,
    losses,
    make_target,
    total,
    vector_loss,
)
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
    {"vector_weight": 2.0},
    {"vector_weight": 2.0, "centred": True},
    {"vector_weight": 1.0, "similarity_weight": 0.0, "relation_weight": 0.0},
]


def pooled(output: LayerOutput, mask: Tensor) -> Tensor:
    """Sentence vectors of a layer."""
    return pool(output.hidden, mask, Pooling.MEAN)


def target_of(settings: ObjectiveSettings, outputs: list[LayerOutput], mask: Tensor) -> Target:
    """The target of a teacher that computed `outputs`."""
    vectors = F.normalize(pooled(outputs[-1], mask), dim=-1)
    compared = [outputs[i] for i in compared_layers(settings, len(outputs))]
    return make_target(settings, mask, vectors, compared, centre=vectors.mean(0))


def found_losses(
    settings: ObjectiveSettings,
    student: list[LayerOutput],
    target: Target,
    mask: Tensor,
    layers: Sequence[int] = range(4),
) -> dict[str, float]:
    found = losses(settings, student, pooled(student[-1], mask), target, mask, layers)
    return {name: float(loss) for name, loss in found.items()}


@pytest.mark.parametrize("changes", EVERY_TERM)
def test_a_student_equal_to_the_teacher_has_no_loss(
    changes: dict[str, Any], outputs: list[LayerOutput], batch: Batch
) -> None:
    settings, mask = objective(**changes), batch.attention_mask
    target = target_of(settings, outputs, mask)
    found = found_losses(settings, outputs, target, mask)
    assert list(found) == active_terms(settings)
    assert all(abs(loss) < 1e-5 for loss in found.values())


@pytest.mark.parametrize("changes", EVERY_TERM)
def test_another_student_has_a_loss_and_padding_no_part_in_it(
    changes: dict[str, Any], teacher: Teacher, outputs: list[LayerOutput], batch: Batch
) -> None:
    settings, mask = objective(**changes), batch.attention_mask
    target = target_of(settings, outputs, mask)
    padding = (1 - mask)[..., None]

    def student(noise: float) -> list[LayerOutput]:
        generator = torch.Generator().manual_seed(0)

        def change(x: Tensor) -> Tensor:
            changed = x + 0.3 * torch.randn(x.shape, generator=generator)
            return changed + noise * padding * torch.randn(x.shape, generator=generator)

        return [LayerOutput(*(change(part) for part in output)) for output in outputs]

    clean, noisy = (found_losses(settings, student(n), target, mask) for n in (0.0, 5.0))
    assert all(loss > 1e-4 for loss in clean.values())
    assert noisy == pytest.approx(clean, rel=1e-4, abs=1e-6)


def test_the_total_is_the_weighted_sum() -> None:
    weights = {"vector_weight": 5.0, "cosine_weight": 2.0, "relation_weight": 3.0}
    settings = objective(**weights, similarity_weight=0.0)
    assert active_terms(settings) == ["vector", "cosine", "relation"]
    found = {name: torch.tensor(0.1 * 4**i) for i, name in enumerate(active_terms(settings))}
    assert float(total(settings, found)) == pytest.approx(5 * 0.1 + 2 * 0.4 + 3 * 1.6)


def test_an_earlier_teacher_layer_can_be_the_one_compared(
    outputs: list[LayerOutput], batch: Batch
) -> None:
    settings, mask = objective(teacher_layer=-3, similarity_weight=0.0), batch.attention_mask
    assert compared_layers(settings, 4) == [1, 3]
    target = target_of(settings, outputs, mask)
    assert found_losses(settings, outputs[:2], target, mask)["relation"] < 1e-5
    assert found_losses(settings, outputs, target, mask)["relation"] > 1e-3


def test_every_layer_is_compared_with_the_one_it_was_cut_from(
    outputs: list[LayerOutput], batch: Batch
) -> None:
    settings, mask = objective(relation_layers="every"), batch.attention_mask
    target = target_of(settings, outputs, mask)
    chosen = [outputs[0], outputs[3]]
    assert found_losses(settings, chosen, target, mask, [0, 3])["relation"] < 1e-5
    assert found_losses(settings, chosen, target, mask, [1, 3])["relation"] > 1e-3


def test_kept_channels_are_compared_in_the_superlms_order(
    outputs: list[LayerOutput], batch: Batch
) -> None:
    settings, mask = objective(channel_weight=1.0, similarity_weight=0.0), batch.attention_mask
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    target = make_target(settings, mask, pooled(outputs[-1], mask), [outputs[-1]], order)
    narrow = outputs[-1]._replace(hidden=outputs[-1].hidden[..., order[:32]])
    assert found_losses(settings, [narrow], target, mask)["channel"] < 1e-5
    wrong = outputs[-1]._replace(hidden=outputs[-1].hidden[..., :32])
    assert found_losses(settings, [wrong], target, mask)["channel"] > 0.1


def test_relations_split_strided_differ_from_contiguous_ones(
    outputs: list[LayerOutput], batch: Batch
) -> None:
    found = []
    for split in ("contiguous", "strided"):
        settings, mask = objective(relation_split=split), batch.attention_mask
        target = make_target(settings, mask, pooled(outputs[-1], mask), [outputs[-1]])
        found.append(found_losses(settings, outputs[:1], target, mask)["relation"])
    assert found[0] != pytest.approx(found[1], rel=1e-3)


def test_the_vector_loss_is_one_less_the_mean_cosine_whatever_the_lengths() -> None:
    generator = torch.Generator().manual_seed(0)
    ours, theirs = (torch.randn(5, 7, generator=generator) for _ in range(2))
    wanted = F.normalize(theirs, dim=-1)
    cosines = [float(a @ b / a.norm()) for a, b in zip(ours, wanted, strict=True)]
    expected = 1 - sum(cosines) / 5
    assert float(vector_loss(ours, wanted)) == pytest.approx(expected, abs=1e-6)
    assert float(vector_loss(9 * ours, wanted)) == pytest.approx(expected, abs=1e-6)
    assert float(vector_loss(3 * theirs, wanted)) == pytest.approx(0, abs=1e-6)


def test_centred_vectors_are_compared_around_the_teachers_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    # All point roughly one way, so that even the wrong sentence's vector is near.
    wanted = F.normalize(torch.randn(200, 8, generator=generator) + 10, dim=-1)
    centre, others = wanted.mean(0), wanted.roll(1, 0)
    assert float(vector_loss(others, wanted)) < 0.05
    assert float(vector_loss(others, wanted, centre)) == pytest.approx(1, abs=0.3)
    assert float(vector_loss(2 * wanted, wanted, centre)) == pytest.approx(0, abs=1e-5)
    pairs = zip(others - centre, wanted - centre, strict=True)
    cosines = [float(a @ b / a.norm() / b.norm()) for a, b in pairs]
    expected = 1 - sum(cosines) / len(cosines)
    assert float(vector_loss(others, wanted, centre)) == pytest.approx(expected, abs=1e-4)


def test_vectors_alone_need_nothing_of_the_teachers_layers(batch: Batch) -> None:
    settings = objective(
        vector_weight=1.0, cosine_weight=1.0, similarity_weight=0.0, relation_weight=0.0
    )
    assert not settings.compares_tokens
    wanted = F.normalize(torch.randn(6, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    target = make_target(settings, batch.attention_mask, wanted, centre=wanted.mean(0))
    assert target.centre is None
    assert target.vectors is wanted
    assert target.relations == ()
    hidden = torch.zeros(6, 14, 8)
    output = LayerOutput(*[hidden] * 7)
    found = losses(settings, [output], wanted, target, batch.attention_mask)
    assert {name: float(loss) for name, loss in found.items()} == pytest.approx(
        {"vector": 0, "cosine": 0}, abs=1e-6
    )


def test_a_sentence_alone_in_a_batch_is_like_no_other_and_that_costs_nothing(
    outputs: list[LayerOutput], batch: Batch
) -> None:
    settings = objective(vector_weight=1.0, cosine_weight=1.0)
    mask = batch.attention_mask[:1]
    one = [LayerOutput(*(part[:1] for part in output)) for output in outputs]
    found = found_losses(settings, one[:2], target_of(settings, one, mask), mask)
    assert found["cosine"] == found["similarity"] == 0
    assert found["vector"] > 1e-3


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
