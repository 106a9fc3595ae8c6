"""A start that leaves something to learn, and runs from it."""

from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from autodistil.models.teacher import Teacher
from autodistil.spaces.sub_space import SubSpace
from autodistil.text.corpus import Batch, Corpus
from autodistil.text.vocabulary_texts import Texts
from autodistil.training.loss_curve import LOSSES
from autodistil.training.start import Start, calibration_batches, cut_superlm
from autodistil.training.trainer import Trainer
from tests.autodistil.training.cuts import PLAIN
from tests.autodistil.training.runs import MakeTrainer, weights
from tests.factories import SETTINGS, STOCK_SPACE


@pytest.fixture(scope="session")
def start(teacher: Teacher, corpus: Corpus) -> Start:
    # Not corrected, so that there is something left to learn.
    return cut_superlm(teacher, STOCK_SPACE, calibration_batches(corpus.train, 0, 1), PLAIN)


@pytest.fixture(scope="session")
def calibration(corpus: Corpus) -> list[Batch]:
    return calibration_batches(corpus.train, seed=0)[:2]


@pytest.fixture
def make_trainer(teacher: Teacher, texts: Texts, start: Start) -> MakeTrainer:
    def make(folder: Path, space: SubSpace = STOCK_SPACE, **settings: Any) -> Trainer:
        changed = SETTINGS.model_copy(update=settings)
        return Trainer(teacher, space, start, texts, changed, folder)

    return make


@pytest.fixture(scope="session")
def unbroken(
    teacher: Teacher, texts: Texts, start: Start, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Tensor], str, int]:
    """Weights, losses.jsonl, and steps of a run that was never stopped."""
    folder = tmp_path_factory.mktemp("unbroken")
    trainer = Trainer(teacher, STOCK_SPACE, start, texts, SETTINGS, folder)
    trainer.run()
    return weights(trainer), (folder / LOSSES).read_text(), trainer.step
