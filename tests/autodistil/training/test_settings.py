"""Settings that fit nothing are refused, with what would do."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from autodistil.errors import InvalidInput
from autodistil.models.teacher import Teacher
from autodistil.training.settings import TrainingSettings
from autodistil.training.settings_check import check_settings
from tests.autodistil.training.runs import MakeTrainer
from tests.factories import (
    EMBEDDER_SETTINGS,
    EMBEDDER_SPACE,
    FREE_SPACE,
    SETTINGS,
    STOCK_SPACE,
)


@pytest.mark.parametrize("relation_heads", [3, 5, 32, 1000])
def test_relation_heads_that_do_not_divide_are_refused_with_those_that_do(
    relation_heads: int, make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    message = rf"{relation_heads} relation heads .* \[16, 32, 64\]; possible are \[1, 2, 4, 8, 16\]"
    with pytest.raises(InvalidInput, match=message):
        make_trainer(tmp_path, relation_heads=relation_heads)


def test_relation_heads_that_divide_every_width_are_accepted(teacher: Teacher) -> None:
    for space in (STOCK_SPACE, FREE_SPACE):
        for heads in (1, 2, 4, 8, 16):
            check_settings(SETTINGS.model_copy(update={"relation_heads": heads}), teacher, space)
    with pytest.raises(InvalidInput, match=r"\[32, 48, 64\]; possible are \[1, 2, 4, 8, 16\]"):
        check_settings(SETTINGS.model_copy(update={"relation_heads": 32}), teacher, FREE_SPACE)


@pytest.mark.parametrize(
    "change",
    [
        {"tokens": -1},
        {"batch_tokens": 3},
        {"learning_rate": 0},
        {"warmup": 1},
        {"clip": 0},
        {"temperature": 0},
        {"precision": "fp8"},
        {"relation_loss": "cosine"},
        {"random_students": -1},
        {"epochs": 3},
        {"lengths": (), "length_weights": ()},
        {"lengths": (32, 64)},
        {"lengths": (4, 32, 64)},
        {"length_weights": (1.0, 1.0, -1.0)},
        {"length_weights": (0.0, 0.0, 0.0)},
        {"vector_weight": -1},
        {"map_rate": -1},
        {"batches": "none"},
        {"neighbours": 0},
        {"extremes": (), "random_students": 0},
        {"extremes": ("largest", "largest")},
        {"in_place": True},
        {"start": {"layers": "best"}},
    ],
)
def test_settings_that_make_no_sense_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(change))):
        TrainingSettings(**change)


def test_rows_longer_than_the_teachers_positions_are_refused(
    make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match="128 positions"):
        make_trainer(tmp_path, lengths=(16, 256))


@pytest.mark.parametrize("term", ["relation_weight", "hidden_weight", "channel_weight"])
def test_terms_that_compare_tokens_are_refused_beside_a_vocabulary(
    term: str, embedder: Teacher
) -> None:
    check_settings(EMBEDDER_SETTINGS, embedder, EMBEDDER_SPACE)
    settings = EMBEDDER_SETTINGS.model_copy(update={term: 0.5})
    with pytest.raises(InvalidInput, match="relation_weight, .* set them to 0, or leave `vocab`"):
        check_settings(settings, embedder, EMBEDDER_SPACE)
    check_settings(settings, embedder, EMBEDDER_SPACE.model_copy(update={"vocab": ()}))


def test_a_vocabulary_is_refused_where_no_sentence_vectors_are_learnt(embedder: Teacher) -> None:
    settings = EMBEDDER_SETTINGS.model_copy(update={"vector_weight": 0.0})
    with pytest.raises(InvalidInput, match="set vector_weight, or leave `vocab` out"):
        check_settings(settings, embedder, EMBEDDER_SPACE)


def test_sentence_vectors_of_a_teacher_that_has_none_are_refused(
    make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=r"tiny-teacher is no sentence embedder .* set it to 0"):
        make_trainer(tmp_path, vector_weight=1.0)


@pytest.mark.parametrize("layer", [-5, -100])
def test_a_teacher_layer_that_is_not_there_is_refused(layer: int, teacher: Teacher) -> None:
    settings = SETTINGS.model_copy(update={"teacher_layer": layer})
    with pytest.raises(InvalidInput, match="the teacher has 4 layers; set -4 to -1"):
        check_settings(settings, teacher, STOCK_SPACE)
