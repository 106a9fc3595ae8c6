from collections.abc import Sequence

import numpy as np
import pytest

from autodistil.downstream.embedder import OnTexts, Vectors
from autodistil.downstream.logistic_regression import predict_classes
from autodistil.downstream.probes import MOST_EXAMPLES, draw_examples, probe_accuracy
from autodistil.downstream.task_data import Examples


class Numbers:
    """The vector of a text are the numbers in it."""

    def encode(self, texts: Sequence[str], on_texts: OnTexts = lambda done, total: None) -> Vectors:
        return np.array([[float(word) for word in text.split()] for text in texts], np.float32)


def test_three_classes_side_by_side_are_told_apart_whatever_the_scale() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(600, 4)).astype(np.float32)
    labels = np.digitize(features[:, 1], (-0.5, 0.5))
    scaled = features * np.array([1.0, 1e-3, 1e3, 0.0], np.float32) + 7
    found = predict_classes(scaled[:400], labels[:400], scaled[400:])
    assert (found == labels[400:]).mean() > 0.9


def test_noise_is_not_learned() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 200)).astype(np.float32)
    labels = (rng.random(300) < 0.2).astype(np.int64)
    found = predict_classes(features[:200], labels[:200], features[200:])
    assert found.mean() < 0.25


def one_sentence(count: int, seed: int) -> Examples:
    values = np.random.default_rng(seed).normal(size=(count, 2))
    return Examples([f"{a} {b}" for a, b in values], None, [float(a > 0) for a, _ in values])


def test_a_probe_reads_a_single_sentence() -> None:
    assert probe_accuracy(Numbers(), one_sentence(300, 0), one_sentence(200, 1)) > 0.95


def pairs(count: int, seed: int) -> Examples:
    """Whether two numbers are near to each other, which no sum of them says."""
    values = np.random.default_rng(seed).normal(size=(count, 2))
    near = [float(abs(a - b) < 1) for a, b in values]
    return Examples([str(a) for a, _ in values], [str(b) for _, b in values], near)


def test_a_probe_compares_the_two_sentences_of_a_pair() -> None:
    assert probe_accuracy(Numbers(), pairs(300, 0), pairs(200, 1)) > 0.95


@pytest.mark.parametrize("second", [None, "b"])
def test_the_same_examples_are_drawn_whatever_their_order(second: str | None) -> None:
    count = MOST_EXAMPLES + 50
    texts = [f"sentence {i}" for i in range(count)]
    train = Examples(texts, None if second is None else [second] * count, [0.0, 1.0] * (count // 2))
    drawn = draw_examples(train)
    assert len(drawn) == MOST_EXAMPLES
    assert draw_examples(train.take(reversed(range(count)))) == drawn
    few = one_sentence(10, 0)
    assert draw_examples(few) is few
