"""The map from a student's vectors to the teacher's."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from autodistil.families.architecture import Architecture
from autodistil.models.elastic import ElasticEncoder
from autodistil.models.sentence_vectors import TRAINED_MAP, pool, to_teacher_space
from autodistil.models.teacher import Teacher, load_teacher
from autodistil.spaces.embedding import Pooling, SentenceEmbedding
from autodistil.spaces.map_tensors import map_name
from autodistil.spaces.sub_space import SubSpace
from autodistil.text.corpus import Batch
from autodistil.text.vocabulary_texts import Texts
from autodistil.training.settings import StartSettings
from autodistil.training.start import Start, calibration_batches, cut_superlm, teacher_encoder
from autodistil.training.vector_map import (
    Sample,
    mapped_students,
    needs_map,
    own_maps,
    shared_map,
)
from tests.autodistil.training.cuts import FULL
from tests.factories import EMBEDDER_SPACE, random_batch, write_embedder

NARROW = EMBEDDER_SPACE.model_copy(update={"vocab": ()})
"""The same with all words, so that teacher and students read the same tokens."""


@pytest.fixture(scope="module")
def batches(embedder_texts: Texts) -> list[Batch]:
    return calibration_batches(embedder_texts.own.train, 0, 4)


@pytest.fixture(scope="module")
def narrow(embedder: Teacher, batches: list[Batch]) -> Start:
    return cut_superlm(embedder, NARROW, batches[:2], StartSettings())


def embedding(projected: bool = False) -> SentenceEmbedding:
    return SentenceEmbedding(
        width=64, pooling=Pooling.MEAN, normalize=True, max_seq_length=100, projected=projected
    )


def without_map(start: Start) -> ElasticEncoder:
    tensors = {n: t for n, t in start.tensors.items() if not n.startswith(TRAINED_MAP)}
    return ElasticEncoder(tensors, start.encoder, start.kept_layers)


def pooled(superlm: ElasticEncoder, batch: Batch, student: Architecture) -> Tensor:
    hidden = superlm(batch.input_ids, batch.attention_mask, student).hidden
    return pool(hidden, batch.attention_mask, Pooling.MEAN)


@torch.no_grad()
def test_an_exact_linear_relation_is_recovered(narrow: Start) -> None:
    superlm, student = without_map(narrow), NARROW.largest
    batches = [random_batch(narrow.encoder.vocab_size, rows=60, seed=seed) for seed in range(8)]
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(64, 32, generator=generator), torch.randn(64, generator=generator)
    found = [pooled(superlm, batch, student) for batch in batches]
    # Of length 1 already, or normalising would bend the relation: the length is linear, too.
    wanted = [F.linear(x, weight, bias) for x in found]
    scale = torch.cat(wanted).norm(dim=-1)
    assert scale.std() > 0.01
    samples = [(batch, x) for batch, x in zip(batches, wanted, strict=True)]
    solved = shared_map(superlm, [student], samples, embedding(), narrow.channels)
    assert set(solved) == {"map.weight", "map.bias"}
    assert (solved["map.weight"].shape, solved["map.bias"].shape) == ((64, 32), (64,))
    for x, y in zip(found, wanted, strict=True):
        ours = F.linear(x, solved["map.weight"], solved["map.bias"])
        assert F.cosine_similarity(ours, y).mean() > 0.99


@torch.no_grad()
def test_the_shared_map_brings_every_student_nearer_to_the_teacher(
    narrow: Start, embedder: Teacher, batches: list[Batch]
) -> None:
    superlm = ElasticEncoder(narrow.tensors, narrow.encoder, narrow.kept_layers)
    bare, teacher = without_map(narrow), teacher_encoder(embedder)
    kept = torch.tensor(narrow.channels)
    for student in NARROW.students():
        nearness = [0.0, 0.0]
        for batch in batches:
            arguments = batch.input_ids, batch.attention_mask
            wanted = teacher.vectors(*arguments, embedder.architecture, Pooling.MEAN)
            mapped = superlm.vectors(*arguments, student, Pooling.MEAN)
            placed = torch.zeros_like(wanted)  # each channel where the teacher has it
            placed[:, kept[: student.hidden]] = pooled(bare, batch, student)
            for place, found in enumerate((placed, mapped)):
                nearness[place] += float(F.cosine_similarity(found, wanted).mean())
        assert nearness[1] > nearness[0]


@torch.no_grad()
def test_a_map_of_ones_own_is_no_worse_than_the_shared_one(
    narrow: Start, embedder: Teacher, batches: list[Batch]
) -> None:
    superlm = ElasticEncoder(narrow.tensors, narrow.encoder, narrow.kept_layers)
    teacher = teacher_encoder(embedder)
    samples: list[Sample] = [
        (b, teacher.vectors(b.input_ids, b.attention_mask, embedder.architecture, Pooling.MEAN))
        for b in batches
    ]
    order = sorted(NARROW.students(), key=map_name)
    found = own_maps(superlm, order, lambda student: samples, Pooling.MEAN)
    assert len(found) == 2 * len(NARROW.layers) * len(NARROW.hidden)
    for name, members in groupby(order, map_name):
        students = list(members)
        assert found[f"{name}.weight"].shape == (64, students[0].hidden)
        errors = {"shared": 0.0, "own": 0.0}
        for student in students:
            for batch, vectors in samples:
                x, wanted = pooled(superlm, batch, student), F.normalize(vectors, dim=-1)
                for kind, tensors in (("shared", superlm.tensors()), ("own", found)):
                    ours = to_teacher_space(x, tensors, student)
                    errors[kind] += float(((ours - wanted) ** 2).sum())
        assert errors["own"] < errors["shared"]


def test_each_student_is_solved_on_text_in_its_own_tokens(
    narrow: Start, batches: list[Batch]
) -> None:
    superlm = ElasticEncoder(narrow.tensors, narrow.encoder, narrow.kept_layers)
    asked: list[Architecture] = []

    def samples_of(student: Architecture) -> Iterator[Sample]:
        asked.append(student)
        yield batches[0], torch.ones(len(batches[0].input_ids), 64)

    order = sorted(NARROW.students(), key=map_name)
    own_maps(superlm, order, samples_of, Pooling.MEAN)
    assert asked == order


def test_the_largest_width_is_the_one_of_the_map_and_a_narrower_student_takes_its_columns() -> None:
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(64, 32, generator=generator), torch.randn(64, generator=generator)
    shared = {"map.weight": weight, "map.bias": bias}
    x = torch.randn(5, 16, generator=generator)
    small = NARROW.smallest
    assert torch.equal(to_teacher_space(x, shared, small), F.linear(x, weight[:, :16], bias))
    own = {"map.L1-H16.weight": weight[:, 16:], "map.L1-H16.bias": bias + 1}
    expected = F.linear(x, weight[:, 16:], bias + 1)
    assert torch.equal(to_teacher_space(x, shared | own, small), expected)
    assert to_teacher_space(x, {}, small) is x


@pytest.mark.parametrize(
    ("hidden", "expected"), [((64,), False), ((32, 64), True), ((16, 32), True), ((32,), True)]
)
def test_a_map_is_needed_unless_all_students_are_as_wide_as_the_teacher(
    hidden: tuple[int, ...], expected: bool
) -> None:
    space = FULL.model_copy(update={"hidden": hidden})
    assert needs_map(space, embedding()) is expected
    assert needs_map(space, embedding(projected=True))


@pytest.mark.parametrize("pooling", list(Pooling))
@torch.inference_mode()
def test_students_as_wide_as_the_teacher_have_no_map_and_begin_with_its_vectors(
    pooling: Pooling, batches: list[Batch], tmp_path: Path
) -> None:
    embedder = load_teacher(str(write_embedder(tmp_path / "embedder", pooling=pooling)))
    start = cut_superlm(embedder, FULL, batches, StartSettings(least_squares=False))
    assert start.channels == tuple(range(64))
    assert not any(name.startswith(TRAINED_MAP) for name in start.tensors)
    superlm, teacher = (
        ElasticEncoder(start.tensors, start.encoder, start.kept_layers),
        teacher_encoder(embedder),
    )
    for batch in batches:
        arguments = batch.input_ids, batch.attention_mask
        found = superlm.vectors(*arguments, FULL.largest, pooling)
        expected = teacher.vectors(*arguments, embedder.architecture, pooling)
        assert torch.allclose(found, expected, atol=1e-4)


def test_only_embedders_have_maps(teacher: Teacher, narrow: Start, batches: list[Batch]) -> None:
    def maps(start: Start) -> list[str]:
        return [name for name in start.tensors if name.startswith(TRAINED_MAP)]

    assert maps(narrow) == ["map.weight", "map.bias"]
    space: SubSpace = NARROW
    assert maps(cut_superlm(teacher, space, batches, StartSettings(least_squares=False))) == []


def test_the_maps_are_solved_on_both_ends_of_every_depth_and_width() -> None:
    chosen = mapped_students(EMBEDDER_SPACE, most=2)
    assert len(chosen) == 2 * len(EMBEDDER_SPACE.layers) * len(EMBEDDER_SPACE.hidden)
    names = [map_name(student) for student in chosen]
    assert names == sorted(names)  # those of a map one after another
    for first, last in zip(chosen[::2], chosen[1::2], strict=True):
        alike = [s for s in EMBEDDER_SPACE.students() if map_name(s) == map_name(first)]
        assert [first, last] == [alike[0], alike[-1]]
