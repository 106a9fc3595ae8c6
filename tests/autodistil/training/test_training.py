import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor

from autodistil.errors import CheckpointMismatch, InvalidInput
from autodistil.models.teacher import Teacher
from autodistil.spaces.architecture import SubSpace
from autodistil.spaces.cost import exact_macs
from autodistil.text.corpus import Corpus
from autodistil.training.loss_curve import LOSSES, LossRow
from autodistil.training.settings import RelationLoss, StartSettings, TrainingSettings
from autodistil.training.start import Start, calibration_batches, cut_superlm
from autodistil.training.training import CHECKPOINT, Trainer, check_settings
from tests.factories import FREE_SPACE, SETTINGS, STOCK_SPACE

MakeTrainer = Callable[..., Trainer]


@pytest.fixture(scope="module")
def start(teacher: Teacher, corpus: Corpus) -> Start:
    # Not corrected, so that there is something left to learn.
    plain = StartSettings(least_squares=False)
    return cut_superlm(teacher, STOCK_SPACE, calibration_batches(corpus.train, 0, 1), plain)


@pytest.fixture
def make_trainer(teacher: Teacher, corpus: Corpus, start: Start) -> MakeTrainer:
    def make(folder: Path, space: SubSpace = STOCK_SPACE, **settings: Any) -> Trainer:
        changed = SETTINGS.model_copy(update=settings)
        return Trainer(teacher, space, start, corpus.train, changed, folder)

    return make


class Killed(Exception):
    """Stands for the end of the process."""


def kill_at(step: int) -> Callable[[LossRow], None]:
    def on_step(report: LossRow) -> None:
        if report.step == step:
            raise Killed

    return on_step


def weights(trainer: Trainer) -> dict[str, Tensor]:
    return {name: t.detach().clone() for name, t in trainer.superlm.tensors().items()}


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return set(first) == set(second) and all(torch.equal(first[n], second[n]) for n in first)


def test_the_losses_of_every_size_fall(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    reports: list[LossRow] = []
    trainer = make_trainer(tmp_path, tokens=25_000, learning_rate=3e-3)
    trainer.run(on_step=reports.append)

    def mean(part: list[LossRow], student: int) -> float:
        found = [report.students[student] for report in part]
        return sum(loss.relation + loss.similarity for loss in found) / len(found)

    assert len(reports) > 80
    for student in (0, 1):  # the largest, the smallest
        assert mean(reports[-10:], student) < 0.8 * mean(reports[:10], student), student


def test_every_step_trains_the_largest_the_smallest_and_drawn_students(
    make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    reports: list[LossRow] = []
    trainer = make_trainer(tmp_path, random_students=2)
    trainer.run(on_step=reports.append)
    for report in reports:
        names = [loss.name for loss in report.students]
        assert names[:2] == [STOCK_SPACE.largest.name, STOCK_SPACE.smallest.name]
        assert len(names) == 4
        assert set(names) <= {student.name for student in STOCK_SPACE.students()}
    assert len({r.students[2].name for r in reports}) > 3
    assert [r.step for r in reports] == list(range(1, len(reports) + 1))
    assert reports[-2].tokens < SETTINGS.tokens <= reports[-1].tokens == trainer.tokens_seen


def test_stratified_students_are_drawn_one_from_each_share_of_the_macs(
    make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    ordered = sorted(FREE_SPACE.students(), key=exact_macs)
    stratified = {"space": FREE_SPACE, "extremes": (), "stratified": True}
    one_each = make_trainer(tmp_path / "8", random_students=8, **stratified)
    assert one_each.draw_students(0) == ordered
    halves = make_trainer(tmp_path / "2", random_students=2, **stratified)
    for step in range(20):
        low, high = halves.draw_students(step)
        assert low in ordered[:4]
        assert high in ordered[4:]


def test_students_can_learn_from_the_largest_in_place_of_the_teacher(
    make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    rows = {}
    for in_place in (False, True):
        # Channels, too: those of the largest student are as many, and in the same order.
        trainer = make_trainer(tmp_path / str(in_place), in_place=in_place, channel_weight=1.0)
        rows[in_place] = trainer.train_step()
        assert all(t.isfinite().all() for t in weights(trainer).values())
    assert rows[False].students[0] == rows[True].students[0]
    for plain, placed in zip(rows[False].students[1:], rows[True].students[1:], strict=True):
        assert plain.relation != pytest.approx(placed.relation, rel=1e-2)


def test_the_rate_rises_then_falls_to_nearly_zero_and_is_smaller_for_embeddings(
    make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    trainer = make_trainer(tmp_path, warmup=0.25, embedding_rate=0.5)
    rates, shares = [], set()

    def on_step(report: LossRow) -> None:
        rates.append(report.learning_rate)
        groups = trainer._optimizer.param_groups
        shares.update(group["lr"] / report.learning_rate for group in groups)

    trainer.run(on_step=on_step)
    top = rates.index(max(rates))
    assert 0 < top < len(rates) / 2
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[0] < 0.1 * SETTINGS.learning_rate
    assert 0.8 * SETTINGS.learning_rate < max(rates) <= SETTINGS.learning_rate
    assert rates[-1] < 0.1 * SETTINGS.learning_rate
    assert sorted(shares) == pytest.approx([0.5, 1.0])


@pytest.fixture(scope="module")
def unbroken(
    teacher: Teacher, corpus: Corpus, start: Start, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Tensor], str, int]:
    """Weights, losses.jsonl, and steps of a run that was never stopped."""
    folder = tmp_path_factory.mktemp("unbroken")
    trainer = Trainer(teacher, STOCK_SPACE, start, corpus.train, SETTINGS, folder)
    trainer.run()
    return weights(trainer), (folder / LOSSES).read_text(), trainer.step


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


def test_the_loss_curve_has_a_row_for_every_step(
    unbroken: tuple[dict[str, Tensor], str, int],
) -> None:
    rows = [json.loads(line) for line in unbroken[1].splitlines()]
    assert [row["step"] for row in rows] == list(range(1, unbroken[2] + 1))
    assert rows[0]["students"][0]["name"] == STOCK_SPACE.largest.name
    assert all(s["relation"] > 0 and s["similarity"] > 0 for r in rows for s in r["students"])


def test_another_run_in_the_same_folder_is_refused(
    make_trainer: MakeTrainer, teacher: Teacher, corpus: Corpus, start: Start, tmp_path: Path
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
        Trainer(other, STOCK_SPACE, start, corpus.train, SETTINGS, tmp_path)
    with pytest.raises(CheckpointMismatch):
        Trainer(teacher, STOCK_SPACE, start, corpus.held_out, SETTINGS, tmp_path)
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


def test_bfloat16_starts_at_nearly_the_same_loss_and_keeps_fp32_weights(
    make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    firsts = {}
    for precision in ("fp32", "bf16"):
        reports: list[LossRow] = []
        trainer = make_trainer(tmp_path / precision, precision=precision, tokens=600)
        trainer.run(on_step=reports.append)
        firsts[precision] = reports[0].students[0]
        assert all(t.dtype == torch.float32 for t in weights(trainer).values())
        assert all(t.isfinite().all() for t in weights(trainer).values())
    assert firsts["bf16"].relation == pytest.approx(firsts["fp32"].relation, rel=0.05)
    assert firsts["bf16"].relation != firsts["fp32"].relation


@pytest.mark.parametrize("variant", RelationLoss)
def test_every_variant_of_the_loss_trains(
    variant: RelationLoss, make_trainer: MakeTrainer, start: Start, tmp_path: Path
) -> None:
    trainer = make_trainer(tmp_path, relation_loss=variant, tokens=600)
    trainer.run()
    assert all(t.isfinite().all() for t in weights(trainer).values())
    assert not equal(weights(trainer), start.tensors)


def test_the_start_and_the_teacher_are_not_changed(
    make_trainer: MakeTrainer, teacher: Teacher, start: Start, tmp_path: Path
) -> None:
    before = {name: tensor.clone() for name, tensor in start.tensors.items()}
    sources = {name: tensor.clone() for name, tensor in teacher.tensors.items()}
    trainer = make_trainer(tmp_path)
    trainer.run()
    assert equal(before, start.tensors)
    assert equal(sources, teacher.tensors)
    assert not equal(weights(trainer), before)


def test_zero_tokens_give_the_start(
    make_trainer: MakeTrainer, start: Start, tmp_path: Path
) -> None:
    for _ in range(2):  # the second time from the checkpoint
        trainer = make_trainer(tmp_path, tokens=0)
        trainer.run(on_step=kill_at(1))
        assert equal(weights(trainer), start.tensors)
        assert (trainer.step, (tmp_path / LOSSES).read_text()) == (0, "")


def test_two_runs_with_the_same_settings_are_equal_and_a_seed_makes_another(
    make_trainer: MakeTrainer, unbroken: tuple[dict[str, Tensor], str, int], tmp_path: Path
) -> None:
    same, other = make_trainer(tmp_path / "same"), make_trainer(tmp_path / "other", seed=1)
    same.run()
    other.run()
    assert equal(weights(same), unbroken[0])
    assert not equal(weights(other), unbroken[0])


def test_biases_and_norms_have_no_weight_decay(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, weight_decay=0.3)
    decay = {
        parameter: group["weight_decay"]
        for group in trainer._optimizer.param_groups
        for parameter in group["params"]
    }
    for tensor in trainer.superlm.tensors().values():
        assert decay[tensor] == (0.3 if tensor.ndim > 1 else 0.0)


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
    ],
)
def test_settings_that_make_no_sense_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(change))):
        TrainingSettings(**change)


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"relation_layers": "every"}, "set relation_layers to 'last'"),
        ({"extremes": ("smallest", "largest")}, "begin with 'largest'"),
        ({"extremes": ("smallest",)}, "begin with 'largest'"),
        ({"extremes": ()}, "begin with 'largest'"),
    ],
)
def test_learning_in_place_is_refused_where_the_largest_is_no_target(
    change: dict[str, Any], advice: str
) -> None:
    TrainingSettings.model_validate(change)
    TrainingSettings(in_place=True)
    with pytest.raises(ValidationError, match=f"in_place .*{advice}"):
        TrainingSettings.model_validate({"in_place": True, **change})


def test_rows_longer_than_the_teachers_positions_are_refused(
    make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match="128 positions"):
        make_trainer(tmp_path, lengths=(16, 256))
