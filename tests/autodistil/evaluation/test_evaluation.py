from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor

from autodistil.errors import InvalidInput
from autodistil.evaluation.evaluation import evaluate_networks, evaluate_students, held_out_batches
from autodistil.evaluation.shared_forward import Network, Step, network_of
from autodistil.evaluation.signals import Signals
from autodistil.models.elastic import ElasticEncoder, KeptLayers, LayerOutput
from autodistil.models.teacher import Teacher
from autodistil.spaces.architecture import Architecture, SubSpace
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


def cosines(output: LayerOutput, mask: Tensor) -> Tensor:
    pooled = (output.hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    return torch.nn.functional.cosine_similarity(pooled[:, None], pooled[None], dim=-1)


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
    found = losses(measure, [output], make_target(measure, [target], mask), mask)
    relation, similarity = found.relation.item(), found.similarity.item()
    hidden = found.total.item() - relation - similarity  # its weight is 1
    agreed = agreements(cosines(output, mask), cosines(target, mask))
    return np.array([(relation, 0), (hidden, 0), (similarity, 0), *agreed]).T


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
    return [
        signals.relation_loss,
        signals.hidden_relation_loss,
        signals.similarity_loss,
        signals.neighbour_agreement,
        signals.stranger_agreement,
    ]


def assert_same(found: Signals, expected: np.ndarray) -> None:
    """Compare with what `alone` says."""
    wanted, ranks = (dict(zip(Signals.model_fields, row, strict=True)) for row in expected)
    assert_same_signals(dict(found), wanted, ranks)


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
        for batch in held_out_batches(corpus.held_out, rounds=1)
    ]
    found = evaluate_students(
        load_elastic(superlm),
        spec.space.students(),
        teacher_encoder(teacher),
        teacher.architecture,
        batches,
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
        teacher_encoder(teacher),
        teacher.architecture,
        batches,
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
    networks = {str(path): Network(40, 16, path) for path in paths}
    networks["again"] = networks[str(paths[0])]
    networks["narrow"] = Network(24, 16, paths[0])
    encoder, batches = teacher_encoder(teacher), two_batches(teacher)
    target = network_of(teacher.architecture, encoder.kept_layers)
    found = evaluate_networks(superlm, networks, encoder, target, batches, MEASURE, neighbours=RUN)
    assert found["again"] == found[str(paths[0])]
    assert len(set(found.values())) == len(networks) - 1
    for name, network in networks.items():
        expected = []
        for batch in batches:
            mask = batch.attention_mask
            with torch.no_grad():
                hidden = superlm.embed(batch.input_ids, network.hidden)
                for step in network.path:
                    sizes = Architecture(
                        layers=1,
                        hidden=network.hidden,
                        heads=step.heads,
                        head_width=16,
                        intermediate=step.intermediate,
                    )
                    output = superlm.layer(hidden, mask[:, None, None].bool(), step.layer, sizes)
                    hidden = output.hidden
                wanted = encoder(batch.input_ids, mask, teacher.architecture)
                expected.append(compare(output, wanted, mask))
        assert_same(found[name], np.mean(expected, 0))


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


def test_the_teacher_itself_has_no_loss_and_agrees_in_full(teacher: Teacher) -> None:
    encoder = teacher_encoder(teacher)
    (signals,) = evaluate_students(
        encoder,
        [teacher.architecture],
        encoder,
        teacher.architecture,
        [random_batch(50)],
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
            teacher_encoder(teacher),
            teacher.architecture,
            two_batches(teacher),
            MEASURE,
        )
