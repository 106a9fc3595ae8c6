import torch

from autodistil.evaluation.comparison import sentence_pairs


def as_set(pairs: tuple[torch.Tensor, torch.Tensor]) -> set[tuple[int, int]]:
    found = list(zip(*(side.tolist() for side in pairs), strict=True))
    assert len(found) == len(set(found))
    return set(found)


def test_neighbours_are_all_pairs_of_a_run_and_strangers_as_many_others() -> None:
    neighbours, strangers = map(as_set, sentence_pairs(torch.arange(32), 4))
    assert neighbours == {(i, j) for i in range(32) for j in range(i + 1, 32) if i // 4 == j // 4}
    assert len(strangers) == len(neighbours) == 48
    assert all(i // 4 != j // 4 for i, j in strangers)
    assert {row for pair in strangers for row in pair} >= set(range(28))


def test_runs_are_counted_in_the_batch_not_in_the_packed_order() -> None:
    order = torch.tensor([3, 0, 2, 1])
    neighbours, strangers = map(as_set, sentence_pairs(order, 2))
    assert {frozenset(order[list(pair)].tolist()) for pair in neighbours} == {
        frozenset({0, 1}),
        frozenset({2, 3}),
    }
    assert len(strangers) == 2


def test_without_neighbours_all_pairs_are_strangers() -> None:
    neighbours, strangers = sentence_pairs(torch.arange(5), 1)
    assert len(neighbours[0]) == 0
    assert len(strangers[0]) == 10
    assert len(sentence_pairs(torch.arange(5), 8)[1][0]) == 0
