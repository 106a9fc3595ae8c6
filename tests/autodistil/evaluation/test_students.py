from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor

from autodistil.errors import InvalidInput
from autodistil.evaluation.candidate_table import measured_teacher
from autodistil.evaluation.held_out_text import HeldOutText, held_out_text
from autodistil.evaluation.packed import PackedBatch
from autodistil.evaluation.shared_forward import Route, SharedForward, Step
from autodistil.evaluation.signals import Signals
from autodistil.evaluation.students import evaluate_students
from autodistil.families.architecture import Architecture
from autodistil.models.elastic import ElasticEncoder, KeptLayers, LayerOutput
from autodistil.models.teacher import Teacher
from autodistil.spaces.sub_space import SubSpace
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.slicing import load_elastic, slice_student
from autodistil.text.corpus import Batch, Corpus
from autodistil.training.objective import losses, make_target
from autodistil.training.settings import ObjectiveSettings
from autodistil.training.start import teacher_encoder
from tests.factories import FREE_SPACE, STOCK_SPACE, random_batch, random_tensors
from tests.ranks import assert_same_signals, moved_by_near_ties

MEASURE = ObjectiveSettings(relation_heads=4, temperature=0.1, hidden_weight=1.0)
RUN = 3
"""Rows of a batch that count as neighbours here."""


def pooled(output: LayerOutput, mask: Tensor) -> Tensor:
    return (output.hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def cosines(vectors: Tensor) -> Tensor:
    return torch.nn.functional.cosine_similarity(vectors[:, None], vectors[None], dim=-1)


def agreements(student: Tensor, teacher: Tensor) -> list[tuple[float, float]]:
    """Spearman over all neighbours and over as many strangers, written out again.

    Each with how far another way of computing the cosines may be from it.
    """
    pairs = list(combinations(range(len(student)), 2))
    near = [(i, j) for i, j in pairs if i // RUN == j // RUN]
    far = [(i, j) for i, j in pairs if i // RUN != j // RUN]
    assert len(near) >= len(far)  # of the batches here, so that nothing is left out
    found = []
    for chosen in (near, far):
        sides = [[float(x[pair]) for pair in chosen] for x in (student, teacher)]
        found.append((float(spearmanr(*sides).statistic), moved_by_near_ties(*sides)))
    return found


def compare(
    output: LayerOutput, target: LayerOutput, mask: Tensor, measure: ObjectiveSettings = MEASURE
) -> np.ndarray:
    """The signals of one batch by the code of the training, padding and all.

    Returns:
        The signals, and how far each may be off because of ranks, [2, signals].
    """
    vectors = pooled(output, mask)
    wanted = make_target(measure, mask, pooled(target, mask), [target])
    found = losses(measure, [output], vectors, wanted, mask)
    near, far = agreements(cosines(vectors), cosines(pooled(target, mask)))
    compared = [(found[term].item(), 0.0) for term in ("relation", "hidden", "similarity")]
    return np.array([*compared, near, far]).T


def alone(
    encoder: ElasticEncoder,
    student: Architecture,
    teacher: Teacher,
    batches: list[Batch],
    measure: ObjectiveSettings = MEASURE,
) -> np.ndarray:
    """The same of one encoder by itself, nothing shared, averaged over the batches."""
    found = []
    for batch in batches:
        given = (batch.input_ids, batch.attention_mask)
        target = teacher_encoder(teacher)(*given, teacher.architecture)
        found.append(compare(encoder(*given, student), target, batch.attention_mask, measure))
    return np.mean(found, 0)


def values(signals: Signals) -> list[float]:
    """Those of a teacher that is no sentence embedder."""
    return list(signals.model_dump(exclude={"vector_distance"}).values())


def assert_same(found: Signals, expected: np.ndarray) -> None:
    """Compare with what `alone` says."""
    assert found.vector_distance is None
    names = [name for name in Signals.model_fields if name != "vector_distance"]
    wanted, ranks = (dict(zip(names, row, strict=True)) for row in expected)
    assert_same_signals(found.model_dump(exclude_none=True), wanted, ranks)


def own_text(batches: list[Batch]) -> HeldOutText:
    """For students with all of their teacher's tokens."""
    return HeldOutText(batches, {None: batches})


def two_batches(teacher: Teacher) -> list[Batch]:
    return [random_batch(teacher.encoder.vocab_size, rows=4, tokens=15, seed=s) for s in (0, 1)]


@pytest.mark.parametrize("kind", ["stock", "free"])
def test_the_signals_equal_those_of_every_slice_run_alone(
    kind: str, stock_superlm: SuperLM, free_superlm: SuperLM, teacher: Teacher, corpus: Corpus
) -> None:
    superlm = stock_superlm if kind == "stock" else free_superlm
    spec = superlm.spec
    batches = [
        Batch(batch.input_ids[:4], batch.attention_mask[:4])
        for batch in held_out_text(corpus, {None: corpus}, teacher.longest, rounds=1).own
    ]
    found = evaluate_students(
        load_elastic(superlm),
        spec.space.students(),
        measured_teacher(teacher),
        own_text(batches),
        MEASURE,
        neighbours=RUN,
    )
    assert set(found) == set(spec.space.students())
    assert len(set(found.values())) == len(found)
    for student, signals in found.items():
        own_layers: KeptLayers = {student.layers: tuple(range(student.layers))}
        encoder = ElasticEncoder(slice_student(superlm, student), spec.encoder, own_layers)
        with torch.no_grad():
            expected = alone(encoder, student, teacher, batches)
        assert_same(signals, expected)


@pytest.mark.parametrize("space", [STOCK_SPACE, FREE_SPACE])
@pytest.mark.parametrize(
    "kept",
    [
        {1: (3,), 2: (0, 3), 3: (0, 1, 3), 4: (0, 1, 2, 3)},  # every depth extends a prefix
        {1: (3,), 2: (2, 3), 3: (1, 2, 3), 4: (0, 1, 2, 3)},  # none does
        {1: (3,), 2: (1, 3), 3: (1, 2, 3), 4: (0, 1, 2, 3)},
    ],
)
def test_sharing_changes_nothing_whatever_layers_are_kept(
    space: SubSpace, kept: KeptLayers, teacher: Teacher
) -> None:
    space = space.model_copy(update={"layers": (1, 2, 3, 4)})
    tensors = random_tensors(space.largest, teacher.encoder)
    superlm = ElasticEncoder(tensors, teacher.encoder, kept)
    measure = MEASURE.model_copy(update={"relation_split": "strided"})
    batches = two_batches(teacher)
    found = evaluate_students(
        superlm,
        space.students(),
        measured_teacher(teacher),
        own_text(batches),
        measure,
        neighbours=RUN,
    )
    for student, signals in found.items():
        with torch.no_grad():
            expected = alone(superlm, student, teacher, batches, measure)
        assert_same(signals, expected)


def test_layers_of_one_student_may_be_of_different_sizes(teacher: Teacher) -> None:
    tensors = random_tensors(FREE_SPACE.largest, teacher.encoder)
    superlm = ElasticEncoder(tensors, teacher.encoder, {3: (0, 1, 2)})
    steps = [Step(layer, heads, ffn) for layer in range(3) for heads in (1, 3) for ffn in (8, 80)]
    paths = [
        (first, second, steps[-1]) for first in steps[:4] for second in steps[4:8]
    ] + [(steps[0], steps[4]), (steps[0],)]  # fmt: skip
    for hidden in (40, 24):
        batch = random_batch(teacher.encoder.vocab_size, rows=4, tokens=15)
        mask = batch.attention_mask
        packed = PackedBatch.of(batch)
        with torch.no_grad():
            found = dict(SharedForward(superlm, hidden, 16).run(packed, paths))
            assert set(found) == set(paths)
            for path, last in found.items():
                output = run_path(superlm, path, hidden, batch)
                for mine, wanted in (
                    (last.hidden, output.hidden),
                    (last.projections[:, 0], output.queries),
                    (last.projections[:, 1], output.keys),
                    (last.projections[:, 2], output.values),
                ):
                    rows = [row[keep] for row, keep in zip(wanted, mask.bool(), strict=True)]
                    ordered = torch.cat([rows[row] for row in packed.order])
                    assert torch.allclose(mine, ordered, atol=1e-5)


def run_path(superlm: ElasticEncoder, path: Route, hidden: int, batch: Batch) -> LayerOutput:
    """The layers of a path one by one, padding and all."""
    mask, state = batch.attention_mask, superlm.embed(batch.input_ids, hidden)
    for step in path:
        sizes = Architecture(
            layers=1,
            hidden=hidden,
            heads=step.heads,
            head_width=16,
            intermediate=step.intermediate,
        )
        output = superlm.layer(state, mask[:, None, None].bool(), step.layer, sizes)
        state = output.hidden
    return output


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
        measured_teacher(teacher),
        own_text([random_batch(50), random_batch(50, seed=1), random_batch(50, seed=2)]),
        MEASURE,
        lambda: calls.append(1),
    )
    assert len(calls) == 3 * STOCK_SPACE.size


def test_the_teacher_itself_has_no_loss_and_agrees_in_full(teacher: Teacher) -> None:
    encoder = teacher_encoder(teacher)
    (signals,) = evaluate_students(
        encoder,
        [teacher.architecture],
        measured_teacher(teacher),
        own_text([random_batch(50)]),
        MEASURE,
        neighbours=RUN,
    ).values()
    assert values(signals) == pytest.approx([0.0, 0.0, 0.0, 1.0, 1.0], abs=1e-6)
    assert min(values(signals)) >= 0
    assert max(values(signals)) <= 1


def test_outputs_that_are_no_numbers_are_refused_and_not_taken_for_perfect(
    stock_superlm: SuperLM, teacher: Teacher
) -> None:
    encoder = load_elastic(stock_superlm)
    encoder.tensors()["encoder.layer.1.output.dense.bias"][0] = float("inf")
    with pytest.raises(InvalidInput, match="not finite numbers.*lower learning rate"):
        evaluate_students(
            encoder,
            [stock_superlm.spec.space.largest],
            measured_teacher(teacher),
            own_text(two_batches(teacher)),
            MEASURE,
        )
