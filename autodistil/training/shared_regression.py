"""Regression of one matrix, or one LayerNorm, that students of several widths share.

A student uses the first rows and columns; so one solution minimises the errors of all students
together, an input that a student does not have counting as zero. The sums of the normal equations
are kept per pair of widths, so that memory does not grow with the text.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

_REWEIGHTINGS = 3
"""Rounds in which the students' weights and the solution settle; more change it little."""


class _Moments(NamedTuple):
    """Sums over the tokens of students of the same widths.

    Attributes:
        inputs: x x^T, the last input being the constant 1 of the bias, [in + 1, in + 1].
        both: x y^T, [in + 1, out].
        targets: y^2, [out].
    """

    inputs: Tensor
    both: Tensor
    targets: Tensor


@dataclass
class MatrixRegression:
    """min ||W x + b - y||^2 over all students; a student lacks inputs and outputs past its widths.

    Students are weighted by the inverse of their error, which asks for small relative errors.
    Unweighted, narrow students, which err most, would rule at the cost of wide ones.
    """

    moments: dict[tuple[int, int], _Moments] = field(default_factory=dict)

    def add(self, inputs: Tensor, targets: Tensor) -> None:
        """Add tokens of a student: inputs [tokens, in], targets [tokens, out]."""
        x = F.pad(inputs, (0, 1), value=1.0)
        found = _Moments((x.T @ x).double(), (x.T @ targets).double(), (targets**2).sum(0).double())
        key = (inputs.shape[1], targets.shape[1])
        if key in self.moments:
            found = _Moments(*(a + b for a, b in zip(found, self.moments[key], strict=True)))
        self.moments[key] = found

    def solve(self, weight: Tensor, bias: Tensor | None, ridge: float) -> None:
        """Write the solution into the matrix, which it starts from.

        Args:
            weight: [out, in].
            bias: [out]; None holds it at 0.
            ridge: Pull towards `weight`, as a share of the mean second moment of the inputs.
        """
        shift = torch.zeros(len(weight)) if bias is None else bias
        before = torch.cat([weight.T, shift[None]]).double()
        solution = before
        for _ in range(_REWEIGHTINGS):
            shares = {key: 1 / self._error(key, solution) for key in self.moments}
            solution = self._solve(before, shares, ridge, bias is not None)
        weight.copy_(solution[:-1].T)
        if bias is not None:
            bias.copy_(solution[-1])

    def _error(self, key: tuple[int, int], solution: Tensor) -> float:
        """Squared error of the students of these widths per token and output."""
        (inputs, outputs), moments = key, self.moments[key]
        taken = torch.cat([solution[:inputs, :outputs], solution[-1:, :outputs]])
        error = moments.targets.sum() - 2 * (taken * moments.both).sum()
        error += (taken * (moments.inputs @ taken)).sum()
        tokens = float(moments.inputs[-1, -1])
        least = 1e-6 * float(moments.targets.sum())  # an exact fit may not rule the rest out
        return (max(float(error), least) + 1e-12) / (tokens * outputs)

    def _solve(
        self, before: Tensor, shares: dict[tuple[int, int], float], ridge: float, shifted: bool
    ) -> Tensor:
        solution, width = before.clone(), len(before) - 1
        ends = sorted({outputs for _, outputs in self.moments})
        for low, high in zip([0, *ends[:-1]], ends, strict=True):
            gram = torch.zeros(width + 1, width + 1, dtype=torch.float64)
            right = torch.zeros(width + 1, high - low, dtype=torch.float64)
            for (inputs, outputs), moments in self.moments.items():
                if outputs >= high:
                    index = torch.tensor([*range(inputs), width])
                    share = shares[inputs, outputs]
                    gram[index[:, None], index] += share * moments.inputs
                    right[index] += share * moments.both[:, low:high]
            pull = torch.ones(width + 1, dtype=torch.float64)
            pull *= ridge * gram.diagonal()[:-1].mean()
            pull[-1] = 0.0  # the bias is free
            if not shifted:
                gram[-1], gram[:, -1], gram[-1, -1], right[-1] = 0.0, 0.0, 1.0, 0.0
            part = right + pull[:, None] * before[:, low:high]
            solution[:, low:high] = torch.linalg.solve(gram + pull.diag(), part)
        return solution


@dataclass
class LayerNormRegression:
    """Scale and shift of every channel of a LayerNorm, by regression over all students."""

    width: int
    sums: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.sums = torch.zeros(5, self.width, dtype=torch.float64)

    def add(self, normalised: Tensor, target: Tensor) -> None:
        """Add tokens of a student, both [tokens, hidden]."""
        x, y = normalised.double(), target.double()
        self.sums[:, : x.shape[1]] += torch.stack(
            [torch.ones_like(x).sum(0), x.sum(0), y.sum(0), (x * x).sum(0), (x * y).sum(0)]
        )

    def solve(self, weight: Tensor, bias: Tensor | None) -> None:
        """Write the solution into weight and, where there is one, bias, both [hidden]."""
        count, x, y, xx, xy = self.sums
        if bias is None:
            weight.copy_(xy / xx.clamp(min=1e-8))
            return
        x, y = x / count, y / count
        scale = (xy / count - x * y) / (xx / count - x * x).clamp(min=1e-8)
        weight.copy_(scale)
        bias.copy_(y - scale * x)
