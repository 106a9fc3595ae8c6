import torch
from torch import Tensor

from autodistil.training.shared_regression import LayerNormRegression, MatrixRegression


def linear_problem(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(500, 6, generator=generator)
    weight = torch.randn(4, 6, generator=generator)
    return inputs, weight, torch.arange(4.0)


def test_an_exact_map_is_found() -> None:
    inputs, weight, bias = linear_problem()
    problem = MatrixRegression()
    problem.add(inputs, inputs @ weight.T + bias)
    found, shift = torch.zeros(4, 6), torch.zeros(4)
    problem.solve(found, shift, ridge=1e-9)
    assert torch.allclose(found, weight, atol=1e-4)
    assert torch.allclose(shift, bias, atol=1e-4)


def test_the_pull_keeps_what_text_says_nothing_about() -> None:
    inputs, weight, bias = linear_problem()
    inputs[:, 3] = 0
    problem = MatrixRegression()
    problem.add(inputs, inputs @ weight.T + bias)
    found, shift = torch.full((4, 6), 7.0), torch.zeros(4)
    problem.solve(found, shift, ridge=1e-6)
    assert torch.allclose(found[:, 3], torch.tensor(7.0))
    assert torch.allclose(found[:, :3], weight[:, :3], atol=1e-2)


def test_a_narrow_student_does_not_rule_a_wide_one() -> None:
    """The wide one can be exact in all outputs; the narrow one, which cannot, only bends it."""
    inputs, weight, bias = linear_problem()
    targets = inputs @ weight.T + bias
    problem = MatrixRegression()
    problem.add(inputs, targets)
    problem.add(inputs[:, :2], targets[:, :2])
    found, shift = torch.zeros(4, 6), torch.zeros(4)
    problem.solve(found, shift, ridge=1e-9)
    wide = ((inputs @ found.T + shift - targets) ** 2).mean()
    narrow = ((inputs[:, :2] @ found[:2, :2].T + shift[:2] - targets[:, :2]) ** 2).mean()
    assert wide < 0.01 * narrow


def test_outputs_that_only_wide_students_have_are_theirs_alone() -> None:
    inputs, weight, bias = linear_problem()
    targets = inputs @ weight.T + bias
    problem = MatrixRegression()
    problem.add(inputs, targets)
    problem.add(inputs[:, :2], 100 * torch.randn(500, 2))
    found, shift = torch.zeros(4, 6), torch.zeros(4)
    problem.solve(found, shift, ridge=1e-9)
    assert torch.allclose(found[2:], weight[2:], atol=1e-4)


def test_scale_and_shift_are_found_per_channel_over_students_of_all_widths() -> None:
    generator = torch.Generator().manual_seed(1)
    weight, bias = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([0.0, 3.0, -1.0])
    scale = LayerNormRegression(3)
    for width in (2, 3, 3):
        x = torch.randn(200, width, generator=generator)
        scale.add(x, x * weight[:width] + bias[:width])
    found, shift = torch.zeros(3), torch.zeros(3)
    scale.solve(found, shift)
    assert torch.allclose(found, weight, atol=1e-4)
    assert torch.allclose(shift, bias, atol=1e-4)
