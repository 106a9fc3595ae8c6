from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest

from autodistil.downstream.embedder import OnTexts, Vectors
from autodistil.downstream.task_data import Examples
from autodistil.downstream.zero_shot import stsb_spearman


class Directions:
    """An embedder whose vectors have known angles."""

    angles: ClassVar = {"x": 0.0, "a": 0.1, "b": 0.5, "c": 1.0, "d": 2.0}

    def encode(self, texts: Sequence[str], on_texts: OnTexts = lambda done, total: None) -> Vectors:
        radians = np.array([self.angles[text] for text in texts], np.float32)
        return np.stack((np.cos(radians), np.sin(radians)), axis=1)


def test_spearman_is_of_ranks_alone() -> None:
    def score(*scores: float) -> float:
        return stsb_spearman(Directions(), Examples(["x"] * 4, list("abcd"), list(scores)))

    assert score(5, 3, 2.9, 0) == pytest.approx(1.0)
    assert score(0, 1, 2, 5) == pytest.approx(-1.0)
    # Ranks 1 2 4 3 against 1 2 3 4: 1 - 6 x (0 + 0 + 1 + 1) / (4 x 15).
    assert score(5, 4, 0, 1) == pytest.approx(0.8)
