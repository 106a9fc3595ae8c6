"""Runs that are stopped go on as if they had not been."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from torch import Tensor

from autodistil.errors import CheckpointMismatch
from autodistil.models.teacher import Teacher
from autodistil.text.vocabulary_texts import Texts
from autodistil.training.checkpoint import CHECKPOINT
from autodistil.training.loss_curve import LOSSES, LossRow
from autodistil.training.start import Start
from autodistil.training.trainer import Trainer
from tests.autodistil.training.runs import Killed, MakeTrainer, equal, kill_at, weights
from tests.factories import SETTINGS, STOCK_SPACE, whole_texts


@pytest.mark.parametrize("seed", range(5))
def test_a_run_killed_at_random_steps_ends_as_an_unbroken_one(
    seed: int,
    make_trainer: MakeTrainer,
    unbroken: tuple[dict[str, Tensor], str, int],
    tmp_path: Path,
) -> None:
    expected, losses, steps = unbroken
    assert steps > 6
    rng = random.Random(seed)
    for step in sorted(rng.sample(range(1, steps + 1), 3)):
        with pytest.raises(Killed):
            # Step 1 dies before there is a checkpoint; any later one after that of the step before.
            make_trainer(tmp_path).run(checkpoint_seconds=0, on_step=kill_at(step))
    trainer = make_trainer(tmp_path)
    assert 0 < trainer.step < steps
    trainer.run()
    assert equal(weights(trainer), expected)
    assert (tmp_path / LOSSES).read_text() == losses
    assert trainer.step == steps


def test_rows_written_after_the_last_checkpoint_are_written_anew(
    make_trainer: MakeTrainer, unbroken: tuple[dict[str, Tensor], str, int], tmp_path: Path
) -> None:
    trainer = make_trainer(tmp_path)

    def on_step(report: LossRow) -> None:
        if report.step == 2:
            trainer.save()
        if report.step == 5:
            raise Killed

    with pytest.raises(Killed):
        trainer.run(on_step=on_step)
    with (tmp_path / LOSSES).open("a") as file:
        file.write('{"step": 6, "tok')  # the kill came in the middle of a row
    resumed = make_trainer(tmp_path)
    assert resumed.step == 2
    resumed.run()
    assert equal(weights(resumed), unbroken[0])
    assert (tmp_path / LOSSES).read_text() == unbroken[1]


def test_a_finished_run_is_not_trained_further(
    make_trainer: MakeTrainer, unbroken: tuple[dict[str, Tensor], str, int], tmp_path: Path
) -> None:
    make_trainer(tmp_path).run()
    again = make_trainer(tmp_path)
    again.run(on_step=kill_at(again.step + 1))
    assert equal(weights(again), unbroken[0])
    assert (tmp_path / LOSSES).read_text() == unbroken[1]


def test_another_run_in_the_same_folder_is_refused(
    make_trainer: MakeTrainer, teacher: Teacher, texts: Texts, start: Start, tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        make_trainer(tmp_path).run(checkpoint_seconds=0, on_step=kill_at(3))
    before = (tmp_path / CHECKPOINT).read_bytes()
    for change in ({"seed": 1}, {"learning_rate": 2e-3}, {"tokens": 9999}):
        with pytest.raises(CheckpointMismatch, match="other settings, teacher, sub-space"):
            make_trainer(tmp_path, **change)
    with pytest.raises(CheckpointMismatch):
        make_trainer(tmp_path, space=STOCK_SPACE.model_copy(update={"ffn_percent": (200, 300)}))
    with pytest.raises(CheckpointMismatch):
        other = replace(teacher, sha256="0" * 64)
        Trainer(other, STOCK_SPACE, start, texts, SETTINGS, tmp_path)
    with pytest.raises(CheckpointMismatch):
        held_out = replace(texts.own, train=texts.own.held_out)
        other_texts = whole_texts(held_out, teacher)
        Trainer(teacher, STOCK_SPACE, start, other_texts, SETTINGS, tmp_path)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


@pytest.mark.parametrize("damage", ["truncated", "half", "empty", "garbage", "no metadata"])
def test_a_damaged_checkpoint_is_refused_clearly(
    damage: str, make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        make_trainer(tmp_path).run(checkpoint_seconds=0, on_step=kill_at(2))
    path = tmp_path / CHECKPOINT
    content = path.read_bytes()
    if damage == "no metadata":
        save_file(load_file(path), path)
    else:
        damaged = {
            "truncated": content[:-1],
            "half": content[: len(content) // 2],
            "empty": b"",
            "garbage": b"garbage" * 1000,
        }
        path.write_bytes(damaged[damage])
    with pytest.raises(CheckpointMismatch, match=CHECKPOINT):
        make_trainer(tmp_path)


def test_a_failed_save_leaves_the_old_checkpoint(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    trainer.save()
    before = (tmp_path / CHECKPOINT).read_bytes()
    (tmp_path / f"{CHECKPOINT}.partial").mkdir()
    with pytest.raises(Exception, match="directory"):
        trainer.save()
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_zero_tokens_give_the_start(
    make_trainer: MakeTrainer, start: Start, tmp_path: Path
) -> None:
    for _ in range(2):  # the second time from the checkpoint
        trainer = make_trainer(tmp_path, tokens=0)
        trainer.run(on_step=kill_at(1))
        assert equal(weights(trainer), start.tensors)
        assert (trainer.step, (tmp_path / LOSSES).read_text()) == (0, "")
