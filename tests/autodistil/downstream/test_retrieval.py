import numpy as np

from autodistil.downstream.retrieval import NEAREST, nearest, recall


def unit_circle(angles: np.ndarray) -> np.ndarray:
    return np.stack((np.cos(angles), np.sin(angles)), axis=1).astype(np.float32)


def test_the_nearest_are_those_of_the_smallest_angle_whatever_their_length() -> None:
    documents = unit_circle(np.linspace(0, 3, 40)) * np.arange(1, 41)[:, None]
    found = nearest(unit_circle(np.array([0.0, 3.0])) * 5, documents.astype(np.float32))
    assert set(found[0]) == set(range(NEAREST))
    assert set(found[1]) == set(range(40 - NEAREST, 40))


def test_recall_is_the_share_of_the_wanted_that_was_found_in_any_order() -> None:
    wanted = np.array([np.arange(10), np.arange(10)])
    found = np.array([np.arange(10)[::-1], np.arange(7, 17)])
    assert recall(found, wanted) == (10 + 3) / 20
    assert recall(wanted, wanted) == 1


def test_vectors_of_zeros_are_far_from_everything() -> None:
    documents = np.concatenate((np.zeros((5, 2)), unit_circle(np.linspace(0, 0.5, 10))))
    found = nearest(unit_circle(np.array([0.2])), documents.astype(np.float32))
    assert set(found[0]) == set(range(5, 15))
