import pytest
import torch

from autodistil.architecture import Architecture, SubSpace
from autodistil.corpus import Batch, Corpus
from autodistil.elastic import ElasticEncoder, KeptLayers
from autodistil.evaluation import evaluate_students, held_out_batches
from autodistil.relations import (
    relation_loss,
    relation_scores,
    relation_target,
    sentence_cosines,
    similarity_log_probabilities,
    similarity_loss,
)
from autodistil.slicing import load_elastic, slice_student
from autodistil.start import teacher_encoder
from autodistil.superlm import SuperLM
from autodistil.teacher import Teacher
from autodistil.training_settings import ObjectiveSettings
from tests.factories import FREE_SPACE, STOCK_SPACE, random_batch, random_tensors

MEASURE = ObjectiveSettings(relation_heads=4, temperature=0.1)


def alone(
    encoder: ElasticEncoder, student: Architecture, teacher: Teacher, batches: list[Batch]
) -> tuple[float, float]:
    """The losses of one encoder by itself, nothing shared."""
    relation = similarity = 0.0
    for batch in batches:
        mask = batch.attention_mask
        outputs = [
            model(batch.input_ids, mask, sizes)
            for model, sizes in (
                (encoder, student),
                (teacher_encoder(teacher), teacher.architecture),
            )
        ]
        scores = [relation_scores(output, mask, MEASURE.relation_heads) for output in outputs]
        relation += float(relation_loss(scores[0], relation_target(scores[1], mask), mask))
        rows = [
            similarity_log_probabilities(sentence_cosines(o.hidden, mask), MEASURE.temperature)
            for o in outputs
        ]
        similarity += float(similarity_loss(*rows))
    return relation / len(batches), similarity / len(batches)


@pytest.mark.parametrize("kind", ["stock", "free"])
def test_the_losses_equal_those_of_every_slice_run_alone(
    kind: str, stock_superlm: SuperLM, free_superlm: SuperLM, teacher: Teacher, corpus: Corpus
) -> None:
    superlm = stock_superlm if kind == "stock" else free_superlm
    spec = superlm.spec
    batches = held_out_batches(corpus.held_out, rounds=1)[:2]
    losses = evaluate_students(
        load_elastic(superlm),
        spec.space.students(),
        teacher_encoder(teacher),
        teacher.architecture,
        batches,
        MEASURE,
    )
    assert set(losses) == set(spec.space.students())
    assert len(set(losses.values())) == len(losses)
    for student, found in losses.items():
        own_layers: KeptLayers = {student.layers: tuple(range(student.layers))}
        encoder = ElasticEncoder(slice_student(superlm, student), spec.encoder, own_layers)
        with torch.no_grad():
            assert found == pytest.approx(alone(encoder, student, teacher, batches), rel=1e-5)


@pytest.mark.parametrize("space", [STOCK_SPACE, FREE_SPACE])
@pytest.mark.parametrize(
    "kept",
    [
        {1: (3,), 2: (0, 3), 3: (0, 1, 3), 4: (0, 1, 2, 3)},  # every depth extends a prefix
        {1: (3,), 2: (2, 3), 3: (1, 2, 3), 4: (0, 1, 2, 3)},  # none does
        {1: (3,), 2: (1, 3), 3: (1, 2, 3), 4: (0, 1, 2, 3)},
    ],
)
def test_sharing_prefixes_changes_nothing_whatever_layers_are_kept(
    space: SubSpace, kept: KeptLayers, teacher: Teacher
) -> None:
    space = space.model_copy(update={"layers": (1, 2, 3, 4)})
    tensors = random_tensors(space.largest, teacher.encoder)
    superlm = ElasticEncoder(tensors, teacher.encoder, kept)
    batches = [random_batch(teacher.encoder.vocab_size, rows=4, tokens=15, seed=s) for s in (0, 1)]
    losses = evaluate_students(
        superlm,
        space.students(),
        teacher_encoder(teacher),
        teacher.architecture,
        batches,
        MEASURE,
    )
    for student, found in losses.items():
        with torch.no_grad():
            assert found == pytest.approx(alone(superlm, student, teacher, batches), rel=1e-5)


def test_progress_is_told_once_per_student_and_batch(teacher: Teacher) -> None:
    superlm = ElasticEncoder(
        random_tensors(STOCK_SPACE.largest, teacher.encoder),
        teacher.encoder,
        {2: (0, 2), 3: (0, 1, 2)},
    )
    calls: list[int] = []
    evaluate_students(
        superlm,
        STOCK_SPACE.students(),
        teacher_encoder(teacher),
        teacher.architecture,
        [random_batch(50), random_batch(50, seed=1), random_batch(50, seed=2)],
        MEASURE,
        lambda: calls.append(1),
    )
    assert len(calls) == 3 * STOCK_SPACE.size


def test_the_teacher_itself_has_no_loss(teacher: Teacher) -> None:
    sizes = teacher.architecture
    space = STOCK_SPACE.model_copy(
        update={"layers": (4,), "hidden": (64,), "ffn_percent": (400,), "head_width": 16}
    )
    assert list(space.students()) == [sizes]
    encoder = teacher_encoder(teacher)
    losses = evaluate_students(
        encoder, space.students(), encoder, sizes, [random_batch(50)], MEASURE
    )
    assert losses[sizes] == pytest.approx((0.0, 0.0), abs=1e-6)
    assert min(losses[sizes]) >= 0


def test_held_out_batches_are_fixed_and_of_three_lengths(corpus: Corpus) -> None:
    batches, again = (held_out_batches(corpus.held_out, rounds=2) for _ in range(2))
    assert [len(batch.input_ids) for batch in batches] == [128, 64, 32] * 2
    for batch, other, length in zip(batches, again, (32, 64, 128) * 2, strict=True):
        assert torch.equal(batch.input_ids, other.input_ids)
        assert batch.input_ids.shape[1] <= length
    assert not torch.equal(batches[0].input_ids[:, :20], batches[3].input_ids[:, :20])
