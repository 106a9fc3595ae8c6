import pytest
import torch
from torch.nn import functional as F

from autodistil.errors import InvalidInput
from autodistil.evaluation.comparison import SentenceComparison, sentence_pairs


def as_set(pairs: tuple[torch.Tensor, torch.Tensor]) -> set[tuple[int, int]]:
    found = list(zip(*(side.tolist() for side in pairs), strict=True))
    assert len(found) == len(set(found))
    return set(found)


def test_neighbours_are_all_pairs_of_a_run_and_strangers_as_many_others() -> None:
    neighbours, strangers = map(as_set, sentence_pairs(32, 4))
    assert neighbours == {(i, j) for i in range(32) for j in range(i + 1, 32) if i // 4 == j // 4}
    assert len(strangers) == len(neighbours) == 48
    assert all(i // 4 != j // 4 for i, j in strangers)
    assert {row for pair in strangers for row in pair} >= set(range(28))


def test_without_neighbours_all_pairs_are_strangers() -> None:
    neighbours, strangers = sentence_pairs(5, 1)
    assert len(neighbours[0]) == 0
    assert len(strangers[0]) == 10
    assert len(sentence_pairs(5, 8)[1][0]) == 0


def vectors(seed: int) -> torch.Tensor:
    return torch.randn(6, 5, generator=torch.Generator().manual_seed(seed))


def test_the_distance_is_one_minus_the_cosine_whatever_the_lengths() -> None:
    teacher, student = vectors(0), vectors(1)
    found = SentenceComparison(7 * teacher, 0.1, 3).compare(student / 3, in_teacher_space=True)
    wanted = 1 - F.cosine_similarity(student, teacher).mean()
    assert found["vector_distance"] == pytest.approx(wanted.item(), abs=1e-6)


def test_vectors_of_another_space_have_no_distance() -> None:
    turned = vectors(0) @ torch.linalg.qr(vectors(1)[:5]).Q
    found = SentenceComparison(vectors(0), 0.1, 3).compare(turned, in_teacher_space=False)
    assert "vector_distance" not in found
    assert found["similarity_loss"] == pytest.approx(0, abs=1e-6)  # the cosines are the same
    assert found["neighbour_agreement"] == found["stranger_agreement"] == pytest.approx(1)


def test_vectors_that_are_no_numbers_are_refused() -> None:
    student = vectors(0)
    student[2, 3] = float("nan")
    with pytest.raises(InvalidInput, match="not finite numbers"):
        SentenceComparison(vectors(0), 0.1, 3).compare(student, in_teacher_space=True)
