import inspect

import pytest
import torch
from transformers import BertConfig, BertModel

from autodistil.families.architecture import Architecture
from autodistil.families.bert import BertEncoder
from autodistil.models.elastic import ElasticEncoder, KeptLayers, LayerOutput
from autodistil.models.sentence_vectors import pool
from autodistil.models.teacher import Teacher
from autodistil.spaces.embedding import Pooling
from autodistil.spaces.sub_space import SubSpace
from autodistil.training.start import teacher_encoder
from tests.factories import (
    FREE_SPACE,
    STOCK_SPACE,
    random_batch,
    random_tensors,
    randomize,
)

ENCODER = BertEncoder(
    vocab_size=60,
    max_position_embeddings=16,
    type_vocab_size=2,
    hidden_act="gelu",
    layer_norm_eps=1e-12,
    pad_token_id=0,
)
KEPT: KeptLayers = {2: (0, 2), 3: (0, 1, 2)}


def test_with_the_teachers_sizes_it_is_the_teachers_bert(
    teacher: Teacher, teacher_folder: str
) -> None:
    model = BertModel.from_pretrained(teacher_folder).eval()
    batch = random_batch(teacher.encoder.vocab_size, rows=5, tokens=40)
    types = torch.randint(2, batch.input_ids.shape, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = model(batch.input_ids, batch.attention_mask, types).last_hidden_state
        found = teacher_encoder(teacher)(
            batch.input_ids, batch.attention_mask, teacher.architecture, types
        ).hidden
    valid = batch.attention_mask.bool()
    assert (found - expected)[valid].abs().max() < 1e-5
    assert expected[valid].std() > 0.1


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu"])
def test_every_activation_and_epsilon_is_berts(activation: str) -> None:
    config = BertConfig(
        vocab_size=60,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=16,
        hidden_act=activation,
        layer_norm_eps=1e-2,
    )
    torch.manual_seed(0)
    model = BertModel(config).eval()
    randomize(model)
    encoder = ENCODER.model_copy(update={"hidden_act": activation, "layer_norm_eps": 1e-2})
    architecture = Architecture(layers=2, hidden=16, heads=2, head_width=8, intermediate=24)
    elastic = ElasticEncoder(model.state_dict(), encoder, {2: (0, 1)})
    batch = random_batch(60)
    with torch.inference_mode():
        expected = model(batch.input_ids, batch.attention_mask).last_hidden_state
        found = elastic(batch.input_ids, batch.attention_mask, architecture).hidden
    assert (found - expected)[batch.attention_mask.bool()].abs().max() < 1e-5


def sliced(
    tensors: dict[str, torch.Tensor], architecture: Architecture, kept: tuple[int, ...]
) -> ElasticEncoder:
    """The student alone: first rows and columns, the kept layers renumbered."""
    own = {}
    for name, shape in ENCODER.shapes(architecture).items():
        source = ENCODER.source(name, kept)
        own[name] = tensors[source][tuple(slice(size) for size in shape)].clone()
    return ElasticEncoder(own, ENCODER, {architecture.layers: tuple(range(architecture.layers))})


@pytest.mark.parametrize("space", [STOCK_SPACE, FREE_SPACE])
def test_an_active_student_equals_its_slice_standing_alone(space: SubSpace) -> None:
    tensors = random_tensors(space.largest, ENCODER)
    elastic = ElasticEncoder(tensors, ENCODER, KEPT)
    batch = random_batch(ENCODER.vocab_size, rows=3, tokens=16)
    outputs = []
    with torch.inference_mode():
        for student in space.students():
            alone = sliced(tensors, student, KEPT[student.layers])
            for found, expected in zip(
                elastic(batch.input_ids, batch.attention_mask, student),
                alone(batch.input_ids, batch.attention_mask, student),
                strict=True,
            ):
                assert found.shape == expected.shape
                assert (found - expected).abs().max() < 1e-5
            outputs.append(elastic(batch.input_ids, batch.attention_mask, student).hidden)
    alike = [a.shape == b.shape and torch.allclose(a, b, atol=1e-3)
             for i, a in enumerate(outputs) for b in outputs[:i]]  # fmt: skip
    assert not any(alike)


def test_a_student_of_depth_two_runs_the_kept_layers() -> None:
    tensors = random_tensors(STOCK_SPACE.largest, ENCODER)
    batch = random_batch(ENCODER.vocab_size)
    depth_two = STOCK_SPACE.largest.model_copy(update={"layers": 2})
    before = ElasticEncoder(tensors, ENCODER, KEPT)(
        batch.input_ids, batch.attention_mask, depth_two
    )
    changed = {
        name: tensor + (1.0 if "encoder.layer.1." in name else 0.0)
        for name, tensor in tensors.items()
    }
    after = ElasticEncoder(changed, ENCODER, KEPT)
    assert torch.equal(
        after(batch.input_ids, batch.attention_mask, depth_two).hidden, before.hidden
    )
    deepest = after(batch.input_ids, batch.attention_mask, STOCK_SPACE.largest)
    assert not torch.allclose(deepest.hidden, before.hidden, atol=1e-2)


def test_what_padding_holds_changes_no_token() -> None:
    elastic = ElasticEncoder(random_tensors(STOCK_SPACE.largest, ENCODER), ENCODER, KEPT)
    batch = random_batch(ENCODER.vocab_size)
    valid = batch.attention_mask.bool()
    other = torch.where(valid, batch.input_ids, (batch.input_ids + 7) % ENCODER.vocab_size)
    assert not torch.equal(other, batch.input_ids)
    found = elastic(other, batch.attention_mask, STOCK_SPACE.smallest).hidden
    expected = elastic(batch.input_ids, batch.attention_mask, STOCK_SPACE.smallest).hidden
    assert torch.allclose(found[valid], expected[valid], atol=1e-6)


def test_only_active_slices_get_a_gradient() -> None:
    elastic = ElasticEncoder(random_tensors(STOCK_SPACE.largest, ENCODER), ENCODER, KEPT)
    student = STOCK_SPACE.smallest
    batch = random_batch(ENCODER.vocab_size)
    elastic(batch.input_ids, batch.attention_mask, student).hidden.square().sum().backward()
    query = elastic.tensors()["encoder.layer.0.attention.self.query.weight"].grad
    assert query is not None
    active = query[: student.attention_width, : student.hidden]
    assert active.abs().max() > 0
    rest = query.clone()
    rest[: student.attention_width, : student.hidden] = 0
    assert not rest.any()
    assert elastic.tensors()["encoder.layer.1.output.dense.weight"].grad is None


def test_the_active_student_is_an_argument_and_leaves_nothing_behind() -> None:
    elastic = ElasticEncoder(random_tensors(STOCK_SPACE.largest, ENCODER), ENCODER, KEPT)
    batch = random_batch(ENCODER.vocab_size)
    first = elastic(batch.input_ids, batch.attention_mask, STOCK_SPACE.largest).hidden
    elastic(batch.input_ids, batch.attention_mask, STOCK_SPACE.smallest)
    again = elastic(batch.input_ids, batch.attention_mask, STOCK_SPACE.largest).hidden
    assert torch.equal(first, again)
    assert "architecture" in inspect.signature(elastic.forward).parameters


def test_the_output_has_the_shapes_it_documents() -> None:
    student = FREE_SPACE.largest
    elastic = ElasticEncoder(random_tensors(student, ENCODER), ENCODER, KEPT)
    batch = random_batch(ENCODER.vocab_size, rows=3, tokens=10)
    output = elastic(batch.input_ids, batch.attention_mask, student)
    widths = {
        "hidden": student.hidden,
        "attended": student.hidden,
        "activations": student.intermediate,
    }
    for name in LayerOutput._fields:
        width = widths.get(name, student.attention_width)
        assert getattr(output, name).shape == (3, 10, width)


def test_the_stored_tensors_keep_their_names() -> None:
    tensors = random_tensors(STOCK_SPACE.largest, ENCODER)
    found = ElasticEncoder(tensors, ENCODER, KEPT).tensors()
    assert set(found) == set(tensors)
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_mean_pooling_leaves_padding_out() -> None:
    hidden = torch.tensor([[[1.0], [3.0], [99.0]], [[2.0], [99.0], [99.0]]])
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    assert pool(hidden, mask, Pooling.MEAN).tolist() == [[2.0], [2.0]]
    assert pool(hidden, torch.zeros_like(mask), Pooling.MEAN).tolist() == [[0.0], [0.0]]
