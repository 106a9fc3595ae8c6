import math
from itertools import product
from math import prod
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertModel

from autodistil.evaluation.candidates import Candidate
from autodistil.extraction.export import export_transformers
from autodistil.families.architecture import Architecture
from autodistil.models.students.bert import StudentModel
from autodistil.spaces.cost import cost, exact_macs, safetensors_bytes, text_length
from autodistil.spaces.partition import BERT_BASE_ENCODER, PRESETS
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.slicing import slice_map, slice_student
from tests.factories import FREE_SPACE, STOCK_SPACE


def load_exported(superlm: SuperLM, candidate: Candidate, folder: Path) -> BertModel:
    """Slice and export a student, and load it as a user would."""
    architecture = candidate.architecture
    tensors, to_teacher = slice_student(superlm, architecture), slice_map(superlm, architecture)
    export_transformers(superlm, candidate, tensors, to_teacher, folder)
    loader = BertModel if candidate.stock else StudentModel
    # "eager" makes every product of attention a matrix product that the flop counter sees; what it
    # counts for a fused attention kernel depends on the kernel, and for that of CPUs it is nothing.
    model, info = loader.from_pretrained(
        folder, attn_implementation="eager", output_loading_info=True
    )
    assert not any(info.values())
    return model.eval()


def encoder_flops(model: BertModel, tokens: int) -> int:
    """FLOPs of the encoder's layers for one sequence, without embeddings and pooler."""
    hidden = torch.randn(1, tokens, model.config.hidden_size)
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        model.encoder(hidden)
    return counter.get_total_flops()


@pytest.mark.parametrize("kind", ["stock", "free"])
def test_the_cost_of_every_student_is_that_of_the_exported_model(
    kind: str, stock_superlm: SuperLM, free_superlm: SuperLM, tmp_path: Path
) -> None:
    superlm = stock_superlm if kind == "stock" else free_superlm
    for candidate in superlm.candidates:
        folder = tmp_path / candidate.architecture.name
        model = load_exported(superlm, candidate, folder)
        assert candidate.stock == (kind == "stock")
        assert candidate.params == sum(p.numel() for p in model.parameters())
        assert 2 * candidate.macs == candidate.flops == encoder_flops(model, 128)
        assert candidate.size_bytes == (folder / "model.safetensors").stat().st_size
        assert candidate.sequence_length == 128


def test_the_size_of_an_embedders_student_is_that_of_its_files(
    embedder_superlm: SuperLM, tmp_path: Path
) -> None:
    for candidate in embedder_superlm.candidates:
        folder = tmp_path / candidate.architecture.name
        model = load_exported(embedder_superlm, candidate, folder)
        weights = [folder / "model.safetensors", folder / "2_Dense" / "model.safetensors"]
        assert candidate.size_bytes == sum(path.stat().st_size for path in weights)
        in_map = sum(tensor.numel() for tensor in load_file(weights[1]).values())
        assert in_map == 64 * candidate.architecture.hidden + 64
        assert candidate.params == in_map + sum(p.numel() for p in model.parameters())


def test_the_macs_of_a_small_vocabulary_are_those_of_its_longer_texts(
    embedder_superlm: SuperLM, tmp_path: Path
) -> None:
    spec = embedder_superlm.spec
    small, large = spec.tokens_per_text[80], spec.tokens_per_text[120]
    assert small > large > 1
    for candidate in embedder_superlm.candidates:
        architecture = candidate.architecture
        length = math.ceil(128 * spec.tokens_per_text[architecture.vocab or 0])
        assert candidate.sequence_length == length > 128
        model = load_exported(embedder_superlm, candidate, tmp_path / architecture.name)
        assert 2 * candidate.macs == candidate.flops == encoder_flops(model, length)


def test_a_text_of_as_many_tokens_has_the_usual_length() -> None:
    assert [text_length(ratio) for ratio in (1.0, 1.001, 1.5)] == [128, 129, 192]


@pytest.mark.parametrize("tokens", [1, 17, 64])
def test_macs_are_exact_at_other_lengths(tokens: int) -> None:
    architecture = STOCK_SPACE.largest
    model = BertModel(
        BertConfig(
            vocab_size=10,
            hidden_size=architecture.hidden,
            num_hidden_layers=architecture.layers,
            num_attention_heads=architecture.heads,
            intermediate_size=architecture.intermediate,
            attn_implementation="eager",
        )
    )
    assert 2 * exact_macs(architecture, tokens) == encoder_flops(model, tokens)
    found = cost(architecture, BERT_BASE_ENCODER, 4, tokens)
    assert (found.macs, found.sequence_length) == (exact_macs(architecture, tokens), tokens)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_predicted_file_size_is_exact_in_either_type(
    dtype: torch.dtype, tmp_path: Path
) -> None:
    encoder = BERT_BASE_ENCODER.model_copy(update={"vocab_size": 11})
    for layers, hidden in product((1, 2, 11), (8, 13)):
        architecture = Architecture(
            layers=layers, hidden=hidden, heads=3, head_width=5, intermediate=7
        )
        shapes = encoder.shapes(architecture)
        tensors = {name: torch.zeros(shape, dtype=dtype) for name, shape in shapes.items()}
        save_file(tensors, tmp_path / "w.safetensors", metadata={"format": "pt"})
        name = "float16" if dtype == torch.float16 else "float32"
        predicted = safetensors_bytes(shapes, name)
        assert predicted == (tmp_path / "w.safetensors").stat().st_size


def test_the_exact_costs_of_the_presets_span_the_known_range() -> None:
    found = {}
    for space in PRESETS["bert-base-uncased"]:
        ends = [exact_macs(student) / 1e9 for student in (space.smallest, space.largest)]
        found[space.name] = [f"{end:.2f}" for end in ends]
    assert found == {
        "tiny": ["0.21", "0.98"],
        "small": ["1.04", "3.16"],
        "base": ["3.32", "8.36"],
    }


def test_the_papers_formula_is_the_papers() -> None:
    """Table 7's formula, written out with the paper's symbols (L layers, A heads, R ratio)."""
    n = 128
    for space in PRESETS["bert-base-uncased"]:
        for student in space.students():
            layers, h, a = student.layers, student.hidden, student.heads
            r = student.intermediate / h
            params = h * (30522 + 512 + 2 + 2) + h**2 + 2 * h
            params += layers * (h**2 + 3 * h**2 * a / 12 + 6 * h + 2 * r * h**2 + r * h + 3 * h)
            macs = 3 * n * h**2 * a / 12 + 2 * n**2 * h * a / 12 + n * h**2 + 2 * n * r * h**2
            macs = layers * macs + n * h**2 + 2 * h
            found = cost(student, BERT_BASE_ENCODER, teacher_heads=12)
            assert found.paper_params == pytest.approx(params, abs=1)
            assert found.paper_macs == pytest.approx(macs, abs=1)


def test_every_axis_adds_to_the_cost() -> None:
    base = FREE_SPACE.smallest
    least = cost(base, BERT_BASE_ENCODER, 4)
    few_words = base.model_copy(update={"vocab": BERT_BASE_ENCODER.vocab_size - 1})
    fewer = cost(few_words, BERT_BASE_ENCODER, 4)
    assert least.params - fewer.params == least.paper_params - fewer.paper_params == base.hidden
    assert fewer.size_bytes < least.size_bytes
    with_map = cost(base, BERT_BASE_ENCODER, 4, map_width=100)
    assert with_map.params == least.params + 100 * base.hidden + 100
    assert with_map.size_bytes > least.size_bytes + 4 * (100 * base.hidden + 100)
    assert (with_map.macs, with_map.paper_params) == (least.macs, least.paper_params)
    for axis in ("layers", "hidden", "heads", "intermediate"):
        more = cost(
            base.model_copy(update={axis: getattr(base, axis) + 1}), BERT_BASE_ENCODER, 4
        ).model_dump()
        for name in ("params", "macs", "flops", "size_bytes", "paper_params", "paper_macs"):
            assert more[name] > getattr(least, name), (axis, name)


def test_shapes_name_every_tensor_of_a_bert() -> None:
    config = BertConfig(vocab_size=50, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
                        intermediate_size=40, max_position_embeddings=20)  # fmt: skip
    architecture = Architecture(layers=2, hidden=24, heads=3, head_width=8, intermediate=40)
    encoder = BERT_BASE_ENCODER.model_copy(update={"vocab_size": 50, "max_position_embeddings": 20})
    expected = {name: tuple(p.shape) for name, p in BertModel(config).named_parameters()}
    assert encoder.shapes(architecture) == expected
    assert cost(architecture, encoder, 3).params == sum(map(prod, expected.values()))
