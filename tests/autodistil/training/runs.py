"""What the tests of trainings share: runs that are killed, and weights compared."""

from collections.abc import Callable

import torch
from torch import Tensor

from autodistil.training.loss_curve import LossRow
from autodistil.training.trainer import Trainer

MakeTrainer = Callable[..., Trainer]


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
