import pytest
import torch
from torch import Tensor

from autodistil.families.architecture import Architecture
from autodistil.models.elastic import ElasticEncoder, LayerOutput
from autodistil.models.teacher import Teacher
from autodistil.spaces.sub_space import SubSpace
from autodistil.text.corpus import Batch, Corpus
from autodistil.training.least_squares import spread
from autodistil.training.reordered_teacher import ReorderedTeacher
from autodistil.training.settings import StartSettings
from autodistil.training.start import Start, calibration_batches, cut_superlm, teacher_encoder
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


@pytest.mark.parametrize("space", [STOCK_SPACE, FREE_SPACE], ids=["stock", "free"])
def test_the_spread_holds_both_extremes_and_every_width(space: SubSpace) -> None:
    chosen = spread(space)
    assert {space.smallest, space.largest} <= set(chosen)
    assert {student.hidden for student in chosen} == set(space.hidden)
    assert len(set(chosen)) == len(chosen) <= 8 * len(space.hidden)


def test_the_teacher_is_run_once_through_the_layers_that_are_asked_for(
    teacher: Teacher, calibration: list[Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[int] = []
    run = ElasticEncoder.layer

    def counted(
        self: ElasticEncoder, hidden: Tensor, mask: Tensor, layer: int, sizes: Architecture
    ) -> LayerOutput:
        runs.append(layer)
        return run(self, hidden, mask, layer, sizes)

    encoder, batches = teacher_encoder(teacher), calibration[:2]
    channels = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    expected = [
        encoder.outputs(batch.input_ids, batch.attention_mask, teacher.architecture)
        for batch in batches
    ]
    monkeypatch.setattr(ElasticEncoder, "layer", counted)
    reordered = ReorderedTeacher(encoder, teacher.architecture, teacher.tensors, channels, batches)
    found = list(reordered.layers([0, 2]))
    assert runs == [0, 0, 1, 1, 2, 2]
    for layer, batches_found in zip([0, 2], found, strict=True):
        for values, outputs, batch in zip(batches_found, expected, batches, strict=True):
            wanted = outputs[layer].hidden[batch.attention_mask.bool()][:, channels]
            assert torch.equal(values.hidden, wanted)
