import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from autodistil.models.elastic import LayerOutput
from autodistil.models.sentence_vectors import pool
from autodistil.spaces.embedding import Pooling
from autodistil.training import relations
from autodistil.training.relations import (
    cosine_loss,
    relation_loss,
    relation_scores,
    relation_target,
    relation_vectors,
    sentence_cosines,
    similarity_log_probabilities,
    similarity_loss,
)
from autodistil.training.settings import RelationLoss, RelationSplit

ROWS, TOKENS, HEADS = 4, 9, 3


def mean_pool(hidden: Tensor, mask: Tensor) -> Tensor:
    return pool(hidden, mask, Pooling.MEAN)


def output(width: int, seed: int) -> LayerOutput:
    generator = torch.Generator().manual_seed(seed)
    q, k, v = torch.randn(3, ROWS, TOKENS, width, generator=generator)
    empty = torch.empty(0)
    return LayerOutput(torch.randn(ROWS, TOKENS, width, generator=generator), q, k, v,
                       empty, empty, empty)  # fmt: skip


def padding_mask() -> Tensor:
    mask = torch.ones(ROWS, TOKENS, dtype=torch.int64)
    mask[1, 7:], mask[2, 4:], mask[3, 1:] = 0, 0, 0
    return mask


def loss_of(
    student: LayerOutput, teacher: LayerOutput, mask: Tensor, variant: RelationLoss
) -> Tensor:
    target = relation_target(relation_vectors(teacher), mask, HEADS)
    return relation_loss(relation_vectors(student), target, variant)


def naive_loss(
    student: LayerOutput, teacher: LayerOutput, mask: Tensor, variant: RelationLoss
) -> Tensor:
    """The loss by its definition: one sequence, one relation, one relation head at a time."""
    total = torch.tensor(0.0, dtype=torch.float64)
    tokens = int(mask.sum())
    pairs = int((mask.sum(1) ** 2).sum())
    for part in ("queries", "keys", "values"):
        for row in range(len(mask)):
            length = int(mask[row].sum())
            for head in range(HEADS):
                scores = []
                for model in (student, teacher):
                    vectors = getattr(model, part)[row, :length].double()
                    width = vectors.shape[-1] // HEADS
                    own = vectors[:, head * width : (head + 1) * width]
                    scores.append(own @ own.T / math.sqrt(width))
                s, t = scores
                if variant is RelationLoss.KL:
                    kl = F.kl_div(s.log_softmax(-1), t.softmax(-1), reduction="sum")
                    total = total + kl / (tokens * HEADS)
                elif variant is RelationLoss.MSE_SOFTMAX:
                    squares = F.mse_loss(s.softmax(-1), t.softmax(-1), reduction="sum")
                    total = total + squares / (pairs * HEADS)
                else:
                    total = total + F.mse_loss(s, t, reduction="sum") / (pairs * HEADS)
    return total


@pytest.mark.parametrize("variant", RelationLoss)
@pytest.mark.parametrize("padded", [False, True])
def test_the_loss_equals_a_naive_reference(variant: RelationLoss, padded: bool) -> None:
    mask = padding_mask() if padded else torch.ones(ROWS, TOKENS, dtype=torch.int64)
    student, teacher = output(12, seed=0), output(24, seed=1)
    found = loss_of(student, teacher, mask, variant)
    expected = naive_loss(student, teacher, mask, variant)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    assert found.item() > 0.01


@pytest.mark.parametrize("variant", RelationLoss)
def test_the_gradient_equals_that_of_plain_autograd(variant: RelationLoss) -> None:
    mask, teacher = padding_mask(), output(24, seed=1)
    student = output(12, seed=0)
    parts = [student.queries, student.keys, student.values]
    for part in parts:
        part.requires_grad_()
    found = torch.autograd.grad(3 * loss_of(student, teacher, mask, variant), parts)
    expected = torch.autograd.grad(3 * naive_loss(student, teacher, mask, variant), parts)
    for ours, plain in zip(found, expected, strict=True):
        assert plain.abs().max() > 1e-3
        assert torch.allclose(ours, plain, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("split", ["contiguous", "strided"])
@pytest.mark.parametrize("rows_at_once", [1, 2, 3])
def test_the_gradient_agrees_with_finite_differences(
    split: RelationSplit, rows_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relations, "_CPU_CHUNK", rows_at_once * 2 * 5 * 5)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 0, 0, 0]])
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(3, 3, 5, 8, generator=generator, dtype=torch.float64)
    student = torch.randn(3, 3, 5, 4, generator=generator, dtype=torch.float64)
    target = relation_target(teacher, mask, 2, split)
    assert torch.autograd.gradcheck(
        lambda vectors: relation_loss(vectors, target), student.requires_grad_()
    )


@pytest.mark.parametrize("split", ["contiguous", "strided"])
def test_the_kl_loss_is_that_of_the_scores(split: RelationSplit) -> None:
    mask, student, teacher = padding_mask(), output(12, seed=0), output(24, seed=1)
    logs = [
        relation_scores(relation_vectors(model), mask, HEADS, split).double().log_softmax(-1)
        for model in (student, teacher)
    ]
    rows = (logs[1].exp() * (logs[1] - logs[0])).sum(-1)  # [3, rows, heads, tokens]
    expected = (rows * mask[None, :, None, :]).sum() / (mask.sum() * HEADS)
    target = relation_target(relation_vectors(teacher), mask, HEADS, split)
    found = relation_loss(relation_vectors(student), target)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("variant", RelationLoss)
def test_what_padding_holds_never_changes_the_loss(variant: RelationLoss) -> None:
    mask = padding_mask()
    student, teacher = output(12, seed=0), output(24, seed=1)
    expected = loss_of(student, teacher, mask, variant)

    def spoil(model: LayerOutput, seed: int) -> LayerOutput:
        other = output(model.queries.shape[-1], seed)
        valid = mask.bool()[..., None]
        return model._replace(
            **{
                part: torch.where(valid, getattr(model, part), 5 * getattr(other, part))
                for part in ("queries", "keys", "values")
            }
        )

    assert not torch.equal(spoil(student, 7).queries, student.queries)
    assert torch.equal(loss_of(spoil(student, 7), spoil(teacher, 8), mask, variant), expected)


@pytest.mark.parametrize("variant", RelationLoss)
def test_the_loss_of_a_model_to_itself_is_zero(variant: RelationLoss) -> None:
    model = output(12, seed=0)
    for mask in (padding_mask(), torch.ones(ROWS, TOKENS, dtype=torch.int64)):
        assert loss_of(model, model, mask, variant).abs() < 1e-6


def test_more_padding_columns_do_not_change_the_loss() -> None:
    mask = padding_mask()
    student, teacher = output(12, seed=0), output(24, seed=1)
    wider = F.pad(mask, (0, 5))

    def widen(model: LayerOutput) -> LayerOutput:
        return LayerOutput(
            *(F.pad(t, (0, 0, 0, 5), value=3.0) if t.ndim == 3 else t for t in model)
        )

    for variant in RelationLoss:
        found = loss_of(widen(student), widen(teacher), wider, variant)
        assert torch.allclose(found, loss_of(student, teacher, mask, variant), rtol=1e-5)


def test_the_prepared_entropy_is_that_of_the_teacher() -> None:
    mask = padding_mask()
    vectors = relation_vectors(output(24, 1))
    target = relation_target(vectors, mask, HEADS)
    log_probabilities = relation_scores(vectors, mask, HEADS).log_softmax(-1)
    entropies = -(log_probabilities.exp() * log_probabilities).sum(-1)  # [3, rows, heads, tokens]
    mean = (entropies * mask[None, :, None, :]).sum() / (mask.sum() * HEADS)
    assert -target.entropy.item() == pytest.approx(mean.item(), rel=1e-5)


def test_relation_heads_are_cut_anew_from_the_concatenated_vectors() -> None:
    mask = torch.ones(ROWS, TOKENS, dtype=torch.int64)
    model = output(12, seed=0)
    scores = relation_scores(relation_vectors(model), mask, 2)
    assert scores.shape == (3, ROWS, 2, TOKENS, TOKENS)
    own = model.values[1, :, 6:]
    assert torch.allclose(scores[2, 1, 1], own @ own.T / math.sqrt(6), atol=1e-5)


def test_scores_are_fp32_even_when_the_vectors_are_not() -> None:
    model = LayerOutput(*(t.bfloat16() for t in output(12, seed=0)))
    assert relation_scores(relation_vectors(model), padding_mask(), HEADS).dtype == torch.float32


def naive_cosines(hidden: Tensor, mask: Tensor) -> Tensor:
    """Cosines of each sentence to the others, [sentences, sentences - 1]."""
    pooled = [h[m.bool()].double().mean(0) for h, m in zip(hidden, mask, strict=True)]
    rows = []
    for i, own in enumerate(pooled):
        others = [F.cosine_similarity(own, p, dim=0) for j, p in enumerate(pooled) if j != i]
        rows.append(torch.stack(others))
    return torch.stack(rows)


def assert_same_gradient(found: Tensor, expected: Tensor, hidden: Tensor) -> None:
    (ours,), (plain,) = (torch.autograd.grad(loss, hidden) for loss in (found, expected))
    assert plain.abs().max() > 1e-3
    assert torch.allclose(ours, plain, rtol=1e-4, atol=1e-6)


def test_the_similarity_loss_equals_a_naive_reference_in_value_and_gradient() -> None:
    mask, temperature = padding_mask(), 0.2
    student, teacher = output(12, 0).hidden.requires_grad_(), output(24, 1).hidden
    found = similarity_loss(
        similarity_log_probabilities(sentence_cosines(mean_pool(student, mask)), temperature),
        similarity_log_probabilities(sentence_cosines(mean_pool(teacher, mask)), temperature),
    )
    expected = F.kl_div(
        (naive_cosines(student, mask) / temperature).log_softmax(-1),
        (naive_cosines(teacher, mask) / temperature).softmax(-1),
        reduction="batchmean",
    )
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    assert found.item() > 0.01
    assert_same_gradient(found, expected, student)


def test_the_cosine_loss_equals_a_naive_reference_in_value_and_gradient() -> None:
    mask = padding_mask()
    student, teacher = output(12, 0).hidden.requires_grad_(), output(24, 1).hidden
    found = cosine_loss(
        sentence_cosines(mean_pool(student, mask)),
        sentence_cosines(mean_pool(teacher, mask)),
    )
    wanted = naive_cosines(teacher, mask).flatten()
    squares = (naive_cosines(student, mask).flatten() - wanted) ** 2
    variance = ((wanted - wanted.mean()) ** 2).sum() / (len(wanted) - 1)
    expected = squares.mean() / variance
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    assert found.item() > 0.01
    assert_same_gradient(found, expected, student)


def test_the_cosine_loss_is_zero_to_itself_and_finite_where_all_sentences_are_alike() -> None:
    student = sentence_cosines(mean_pool(output(12, 0).hidden, padding_mask()))
    alike = sentence_cosines(torch.ones(ROWS, 12))
    assert cosine_loss(student, student) == 0
    assert cosine_loss(student, alike).isfinite()


def test_sentence_cosines_ignore_padding_and_so_does_the_similarity() -> None:
    mask, hidden = padding_mask(), output(12, 0).hidden
    spoiled = torch.where(mask.bool()[..., None], hidden, torch.tensor(40.0))
    cosines = sentence_cosines(mean_pool(hidden, mask))
    assert torch.equal(cosines, sentence_cosines(mean_pool(spoiled, mask)))
    assert torch.allclose(cosines.diagonal(), torch.ones(ROWS))
    own = similarity_log_probabilities(cosines, 0.05)
    assert similarity_loss(own, own) == 0
    assert torch.isneginf(own.diagonal()).all()
    assert torch.allclose(own.exp().sum(-1), torch.ones(ROWS))
    assert torch.allclose(cosines.diagonal(), torch.ones(ROWS))  # not changed in place


def test_cosines_are_not_rounded_to_bfloat16_under_autocast() -> None:
    vectors = mean_pool(output(12, 0).hidden, padding_mask())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = sentence_cosines(vectors)
    assert found.dtype == torch.float32
    assert torch.equal(found, sentence_cosines(vectors))


def test_two_sentences_have_a_cosine_loss_of_a_common_size() -> None:
    student, teacher = (sentence_cosines(output(12, seed).hidden[:2, 0]) for seed in (0, 1))
    expected = (student[0, 1] - teacher[0, 1]) ** 2
    assert float(cosine_loss(student, teacher)) == pytest.approx(float(expected), rel=1e-4)
