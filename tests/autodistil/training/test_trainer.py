"""What a run learns, and what decides its course."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from autodistil.errors import TrainingDiverged
from autodistil.models.teacher import Teacher
from autodistil.spaces.cost import exact_macs
from autodistil.training.checkpoint import CHECKPOINT
from autodistil.training.loss_curve import LOSSES, LossRow, read_losses
from autodistil.training.settings import RelationLoss
from autodistil.training.start import Start
from tests.autodistil.training.runs import MakeTrainer, equal, weights
from tests.factories import FREE_SPACE, SETTINGS, STOCK_SPACE


def test_the_losses_of_every_size_fall(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    reports: list[LossRow] = []
    trainer = make_trainer(tmp_path, tokens=25_000, learning_rate=3e-3)
    trainer.run(on_step=reports.append)

    def mean(part: list[LossRow], student: int) -> float:
        found = [report.students[student] for report in part]
        return sum(sum(loss.losses.values()) for loss in found) / len(found)

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
    assert one_each.sampler.students(0) == ordered
    halves = make_trainer(tmp_path / "2", random_students=2, **stratified)
    for step in range(20):
        low, high = halves.sampler.students(step)
        assert low in ordered[:4]
        assert high in ordered[4:]


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


def test_the_loss_curve_has_a_row_for_every_step(
    unbroken: tuple[dict[str, Tensor], str, int],
) -> None:
    rows = [json.loads(line) for line in unbroken[1].splitlines()]
    assert [row["step"] for row in rows] == list(range(1, unbroken[2] + 1))
    assert rows[0]["students"][0]["name"] == STOCK_SPACE.largest.name
    assert all(min(s["losses"].values()) > 0 for r in rows for s in r["students"])


def test_bfloat16_starts_at_nearly_the_same_loss_and_keeps_fp32_weights(
    make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    firsts = {}
    for precision in ("fp32", "bf16"):
        reports: list[LossRow] = []
        trainer = make_trainer(tmp_path / precision, precision=precision, tokens=600)
        trainer.run(on_step=reports.append)
        firsts[precision] = reports[0].students[0].losses["relation"]
        assert all(t.dtype == torch.float32 for t in weights(trainer).values())
        assert all(t.isfinite().all() for t in weights(trainer).values())
    assert firsts["bf16"] == pytest.approx(firsts["fp32"], rel=0.05)
    assert firsts["bf16"] != firsts["fp32"]


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


def test_a_loss_that_is_no_number_ends_the_run_and_no_checkpoint_holds_its_weights(
    make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    trainer = make_trainer(tmp_path, learning_rate=1e30, warmup=0.0)
    with pytest.raises(TrainingDiverged, match=r"Step \d+: .*Lower learning_rate") as caught:
        trainer.run(checkpoint_seconds=0)
    assert caught.value.status == 422
    assert trainer.step > 0
    saved = load_file(tmp_path / CHECKPOINT)
    assert all(tensor.isfinite().all() for tensor in saved.values())
    assert all(tensor.isfinite().all() for tensor in weights(trainer).values())
    assert len(read_losses(tmp_path / LOSSES)) == trainer.step
