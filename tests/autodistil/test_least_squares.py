import pytest
import torch
from torch import Tensor

from autodistil.architecture import SubSpace
from autodistil.corpus import Batch, Corpus
from autodistil.elastic import ElasticEncoder
from autodistil.least_squares import _Linear, _Scale, spread
from autodistil.start import Start, calibration_batches, cut_superlm, teacher_encoder
from autodistil.teacher import Teacher
from autodistil.training_settings import StartSettings
from tests.factories import FREE_SPACE, STOCK_SPACE


@pytest.fixture(scope="module")
def calibration(corpus: Corpus) -> list[Batch]:
    return calibration_batches(corpus.train, 0, 4)


def encoder(teacher: Teacher, start: Start) -> ElasticEncoder:
    return ElasticEncoder(start.tensors, teacher.encoder, start.kept_layers).requires_grad_(False)


def errors(teacher: Teacher, space: SubSpace, start: Start, batch: Batch) -> list[float]:
    """Of every student, the squared error of its last hidden state's kept channels."""
    valid, channels = batch.attention_mask.bool(), torch.tensor(start.channels)
    with torch.no_grad():
        wanted = teacher_encoder(teacher)(
            batch.input_ids, batch.attention_mask, teacher.architecture
        ).hidden[valid][:, channels]
        superlm = encoder(teacher, start)
        found = []
        for student in space.students():
            hidden = superlm(batch.input_ids, batch.attention_mask, student).hidden[valid]
            found.append(float(((hidden - wanted[:, : student.hidden]) ** 2).mean()))
    return found


@pytest.mark.parametrize("space", [STOCK_SPACE, FREE_SPACE], ids=["stock", "free"])
def test_every_student_comes_nearer_to_the_teacher_on_text_not_seen(
    space: SubSpace, teacher: Teacher, corpus: Corpus, calibration: list[Batch]
) -> None:
    plain = cut_superlm(teacher, space, calibration, StartSettings(least_squares=False))
    solved = cut_superlm(teacher, space, calibration, StartSettings(ridge=0.01))
    assert plain.kept_layers == solved.kept_layers
    assert plain.channels == solved.channels
    fresh = calibration_batches(corpus.held_out, seed=7, batches=1)[0]
    before, after = (errors(teacher, space, start, fresh) for start in (plain, solved))
    assert all(b < 0.8 * a for a, b in zip(before, after, strict=True)), (before, after)


def test_what_is_not_solved_stays(teacher: Teacher, calibration: list[Batch]) -> None:
    plain = cut_superlm(teacher, STOCK_SPACE, calibration, StartSettings(least_squares=False))
    solved = cut_superlm(teacher, STOCK_SPACE, calibration, StartSettings())
    for name, tensor in plain.tensors.items():
        unsolved = "_embeddings." in name or "pooler" in name
        assert torch.equal(solved.tensors[name], tensor) == unsolved, name
        assert solved.tensors[name].isfinite().all()


def test_a_teacher_that_is_its_own_student_is_left_as_it_is(
    teacher: Teacher, calibration: list[Batch]
) -> None:
    whole = SubSpace(
        name="whole", head_width=16, layers=(4,), hidden=(64,), ffn_percent=(400,),
        head_policy=STOCK_SPACE.head_policy,
    )  # fmt: skip
    plain = cut_superlm(teacher, whole, calibration, StartSettings(least_squares=False))
    solved = cut_superlm(teacher, whole, calibration, StartSettings())
    for name, tensor in plain.tensors.items():
        assert torch.allclose(solved.tensors[name], tensor, atol=2e-3), name


def linear_problem(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(500, 6, generator=generator)
    weight = torch.randn(4, 6, generator=generator)
    return inputs, weight, torch.arange(4.0)


def test_an_exact_map_is_found() -> None:
    inputs, weight, bias = linear_problem()
    problem = _Linear()
    problem.add(inputs, inputs @ weight.T + bias)
    found, shift = torch.zeros(4, 6), torch.zeros(4)
    problem.solve(found, shift, ridge=1e-9)
    assert torch.allclose(found, weight, atol=1e-4)
    assert torch.allclose(shift, bias, atol=1e-4)


def test_the_pull_keeps_what_text_says_nothing_about() -> None:
    inputs, weight, bias = linear_problem()
    inputs[:, 3] = 0
    problem = _Linear()
    problem.add(inputs, inputs @ weight.T + bias)
    found, shift = torch.full((4, 6), 7.0), torch.zeros(4)
    problem.solve(found, shift, ridge=1e-6)
    assert torch.allclose(found[:, 3], torch.tensor(7.0))
    assert torch.allclose(found[:, :3], weight[:, :3], atol=1e-2)


def test_a_narrow_student_does_not_rule_a_wide_one() -> None:
    """The wide one can be exact in all outputs; the narrow one, which cannot, only bends it."""
    inputs, weight, bias = linear_problem()
    targets = inputs @ weight.T + bias
    problem = _Linear()
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
    problem = _Linear()
    problem.add(inputs, targets)
    problem.add(inputs[:, :2], 100 * torch.randn(500, 2))
    found, shift = torch.zeros(4, 6), torch.zeros(4)
    problem.solve(found, shift, ridge=1e-9)
    assert torch.allclose(found[2:], weight[2:], atol=1e-4)


def test_scale_and_shift_are_found_per_channel_over_students_of_all_widths() -> None:
    generator = torch.Generator().manual_seed(1)
    weight, bias = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([0.0, 3.0, -1.0])
    scale = _Scale(3)
    for width in (2, 3, 3):
        x = torch.randn(200, width, generator=generator)
        scale.add(x, x * weight[:width] + bias[:width])
    found, shift = torch.zeros(3), torch.zeros(3)
    scale.solve(found, shift)
    assert torch.allclose(found, weight, atol=1e-4)
    assert torch.allclose(shift, bias, atol=1e-4)


@pytest.mark.parametrize("space", [STOCK_SPACE, FREE_SPACE], ids=["stock", "free"])
def test_the_spread_holds_both_extremes_and_every_width(space: SubSpace) -> None:
    chosen = spread(space)
    assert {space.smallest, space.largest} <= set(chosen)
    assert {student.hidden for student in chosen} == set(space.hidden)
    assert len(set(chosen)) == len(chosen) <= 8 * len(space.hidden)
