from itertools import product
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from transformers import BertModel

from autodistil.errors import InvalidInput
from autodistil.models.elastic import ElasticEncoder
from autodistil.spaces.architecture import Architecture
from autodistil.spaces.cost import cost, exact_macs
from autodistil.spaces.mixture import Mixture
from autodistil.spaces.mixture_space import MixtureSpace
from autodistil.spaces.partition import BERT_BASE_ENCODER
from autodistil.spaces.tensors import tensor_shapes
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.slicing import load_elastic, slice_mixture, slice_student
from tests.factories import FREE_SPACE, STOCK_SPACE, random_batch

SIZE = st.integers(1, 1 << 20)
MIXTURES = st.builds(
    lambda hidden, width, layers: Mixture(
        hidden=hidden,
        head_width=width,
        heads=tuple(heads for heads, _ in layers),
        intermediate=tuple(ffn for _, ffn in layers),
    ),
    SIZE,
    SIZE,
    st.lists(st.tuples(SIZE, SIZE), min_size=1, max_size=6),
)

MIXED = Mixture(hidden=32, head_width=8, heads=(4, 2, 2), intermediate=(32, 128, 64))


@given(MIXTURES)
def test_a_mixture_is_read_back_from_its_name_and_from_json(mixture: Mixture) -> None:
    assert Mixture.parse(mixture.name) == mixture
    assert Mixture.model_validate_json(mixture.model_dump_json()) == mixture


def test_the_name_says_the_sizes_of_each_layer() -> None:
    assert MIXED.name == "L3-H32-A4.2.2x8-F32.128.64"
    assert [sizes.heads for sizes in MIXED.per_layer] == [4, 2, 2]
    assert [sizes.attention_width for sizes in MIXED.per_layer] == [32, 16, 16]
    assert [sizes.intermediate for sizes in MIXED.per_layer] == [32, 128, 64]
    assert {(sizes.layers, sizes.hidden) for sizes in MIXED.per_layer} == {(3, 32)}
    assert (MIXED.uniform, MIXED.stock) == (None, False)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "big",
        "L3-H32-A4x8-F32",
        "L2-H32-A4.2.2x8-F32.128.64",
        "L3-H32-A4.2x8-F32.128.64",
        "L3-H32-A4.2.0x8-F32.128.64",
        "L3-H32-A4..2x8-F32.128.64",
        "L1-H32-A4.x8-F32",
        "L1-H9999999-A4x8-F32",
        "L1-H32-A٤x8-F32",
        "L2000-H32-A" + ".".join(["4"] * 2000) + "x8-F" + ".".join(["4"] * 2000),
    ],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="is not a mixture") as caught:
        Mixture.parse(name)
    assert len(caught.value.detail) < 400


@pytest.mark.parametrize(
    "change", [{"heads": (4, 2)}, {"heads": ()}, {"intermediate": (32, -1, 64)}, {"layers": 3}]
)
def test_impossible_sizes_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Mixture.model_validate({**MIXED.model_dump(), **change})


@pytest.mark.parametrize("space", [STOCK_SPACE, FREE_SPACE])
def test_the_mixture_of_a_student_is_that_student(space: object) -> None:
    for student in space.students():  # type: ignore[attr-defined]
        mixture = Mixture.of(student)
        assert (mixture.uniform, mixture.stock) == (student, student.stock)
        assert mixture.layers == student.layers
        assert mixture.per_layer == student.per_layer
        assert cost(mixture, BERT_BASE_ENCODER, 3) == cost(student, BERT_BASE_ENCODER, 3)
        assert tensor_shapes(mixture, BERT_BASE_ENCODER) == tensor_shapes(
            student, BERT_BASE_ENCODER
        )


def test_alike_layers_that_are_no_bert_are_not_stock() -> None:
    narrow = Mixture(hidden=32, head_width=8, heads=(2, 2), intermediate=(64, 64))
    assert narrow.uniform == Architecture(
        layers=2, hidden=32, heads=2, head_width=8, intermediate=64
    )
    assert not narrow.stock


@given(MIXTURES)
def test_macs_are_the_sum_over_the_layers(mixture: Mixture) -> None:
    alone = (sizes.model_copy(update={"layers": 1}) for sizes in mixture.per_layer)
    assert exact_macs(mixture) == sum(map(exact_macs, alone))


def test_the_encoder_runs_a_mixture_as_the_slice_of_it_runs(stock_superlm: SuperLM) -> None:
    whole, spec = load_elastic(stock_superlm), stock_superlm.spec
    batch = random_batch(spec.encoder.vocab_size, tokens=20)
    given_ = (batch.input_ids, batch.attention_mask)
    seen = set()
    for mixture in (MIXED, Mixture(hidden=16, head_width=8, heads=(4, 2), intermediate=(128, 32))):
        tensors = slice_mixture(stock_superlm, mixture)
        assert {name: tuple(t.shape) for name, t in tensors.items()} == tensor_shapes(
            mixture, spec.encoder
        )
        alone = ElasticEncoder(tensors, spec.encoder, {mixture.layers: (*range(mixture.layers),)})
        outputs = whole.outputs(*given_, mixture)
        for found, expected in zip(outputs, alone.outputs(*given_, mixture), strict=True):
            assert torch.equal(found.hidden, expected.hidden)
        assert [o.activations.shape[-1] for o in outputs] == list(mixture.intermediate)
        seen.add(float(outputs[-1].hidden.sum()))
    assert len(seen) == 2


def test_the_slice_of_a_students_mixture_is_the_students(free_superlm: SuperLM) -> None:
    for student in free_superlm.spec.space.students():
        expected = slice_student(free_superlm, student)
        found = slice_mixture(free_superlm, Mixture.of(student))
        assert list(found) == list(expected)
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize(
    "change",
    [
        {"hidden": 24},
        {"head_width": 16},
        {"heads": (4, 2, 3)},
        {"intermediate": (32, 128, 96)},
        {"heads": (4,), "intermediate": (32,)},
    ],
)
def test_a_mixture_of_another_space_is_refused(
    change: dict[str, object], stock_superlm: SuperLM
) -> None:
    other = Mixture.model_validate({**MIXED.model_dump(), **change})
    with pytest.raises(InvalidInput, match=r"is not a mixture of stock@1.*2/3 layers.*32/64/128"):
        slice_mixture(stock_superlm, other)


# --- the space -------------------------------------------------------------------------------

KEPT = {2: (0, 2), 3: (0, 1, 2)}


@pytest.mark.parametrize(("sub_space", "size"), [(STOCK_SPACE, 504), (FREE_SPACE, 160)])
def test_the_genes_of_a_space_are_all_its_mixtures(sub_space: object, size: int) -> None:
    space = MixtureSpace(sub_space, KEPT)  # type: ignore[arg-type]
    mixtures = {space.decode(genes) for genes in product(*map(range, space.choices))}
    assert len(mixtures) == space.size == size
    assert all(mixture in space for mixture in mixtures)
    assert all(space.decode(space.encode(mixture)) == mixture for mixture in mixtures)
    students = {Mixture.of(student) for student in space.space.students()}
    assert students < mixtures
    assert {m for m in mixtures if m.uniform and m.uniform in space.space} == students


def test_genes_belong_to_stored_layers() -> None:
    """So that a shallow child of a deep parent keeps the sizes of the layers that it keeps."""
    space = MixtureSpace(STOCK_SPACE, KEPT)
    deep = space.encode(MIXED)
    shallow = space.decode((0, *deep[1:]))
    assert (shallow.heads, shallow.intermediate) == ((4, 2), (32, 64))
    assert space.decode((1, *space.encode(shallow)[1:])).intermediate == (32, 64, 64)


def test_a_mixture_costs_what_the_loaded_model_has(stock_superlm: SuperLM, tmp_path: Path) -> None:
    from autodistil.extraction.export import write_model_folder
    from autodistil.models.student_model import StudentModel
    from tests.autodistil.spaces.test_cost import encoder_flops

    encoder = stock_superlm.spec.encoder
    plain = Mixture(hidden=16, head_width=8, heads=(2, 2), intermediate=(128, 128))
    for mixture, loader in ((MIXED, StudentModel), (plain, BertModel)):
        folder = tmp_path / mixture.name
        tensors = slice_mixture(stock_superlm, mixture)
        write_model_folder(stock_superlm, mixture, tensors, "card", folder)
        model, info = loader.from_pretrained(
            folder, attn_implementation="eager", output_loading_info=True
        )
        assert not any(info.values())
        counted = cost(mixture, encoder, 4)
        assert counted.params == sum(p.numel() for p in model.parameters())
        assert 2 * counted.macs == counted.flops == encoder_flops(model.eval(), 128)
        assert counted.size_bytes == (folder / "model.safetensors").stat().st_size
        assert (mixture.stock, (folder / "modeling_student.py").exists()) in (
            (True, False),
            (False, True),
        )
