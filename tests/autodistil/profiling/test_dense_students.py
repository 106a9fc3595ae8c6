"""Students made ready to be timed compute what the real ones compute, and are run as asked."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from autodistil.errors import InvalidInput, ParityFailure
from autodistil.extraction.export import model_config
from autodistil.extraction.handover import extract_student
from autodistil.extraction.onnx_graph import ONNX_FILE, onnx_bytes, write_onnx
from autodistil.extraction.onnx_runtime import check_onnx_parity, open_session
from autodistil.families.architecture import Architecture
from autodistil.families.bert import BertEncoder
from autodistil.latency.conditions import Conditions, LatencyLimit
from autodistil.models.students.bert import StudentConfig, StudentModel
from autodistil.profiling.dense_students import RandomStudents, check_conditions, folder_forward
from autodistil.search.budget import Budget
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.slicing import load_elastic
from tests.factories import FREE_SPACE, STOCK_SPACE, edit_json, random_tensors

ENCODER = BertEncoder(
    vocab_size=50,
    max_position_embeddings=32,
    type_vocab_size=2,
    hidden_act="gelu",
    layer_norm_eps=1e-12,
    pad_token_id=0,
)
SHORT = Conditions(batch_size=3, sequence_length=12, threads=1)
ONNX = SHORT.model_copy(update={"runtime": "onnxruntime"})
STUDENTS = [STOCK_SPACE.smallest, STOCK_SPACE.largest, FREE_SPACE.smallest, FREE_SPACE.largest]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_random_students_share_memory_and_have_the_shapes_of_real_ones(dtype: str) -> None:
    conditions = SHORT.model_copy(update={"dtype": dtype})
    students = RandomStudents(STUDENTS, ENCODER, conditions)
    storages = set()
    for architecture in STUDENTS:
        output = students.forward(architecture)()
        hidden = output.last_hidden_state  # type: ignore[attr-defined]
        assert hidden.shape == (3, 12, architecture.hidden)
        assert hidden.dtype == getattr(torch, dtype)
        assert torch.isfinite(hidden).all()
        tensors = students.tensors(architecture)
        storages |= {tensor.untyped_storage().data_ptr() for tensor in tensors.values()}
        begins = [tensor.data_ptr() for tensor in tensors.values()]
        ends = [tensor.data_ptr() + tensor.nbytes for tensor in tensors.values()]
        assert all(end <= begin for end, begin in zip(ends, begins[1:], strict=False))
        assert all((begin - begins[0]) % 64 == 0 for begin in begins)
    assert len(storages) == 1


def test_random_students_are_the_same_again() -> None:
    first, second = (
        RandomStudents(STUDENTS, ENCODER, SHORT, seed=3).forward(STUDENTS[1])() for _ in range(2)
    )
    assert torch.equal(first.last_hidden_state, second.last_hidden_state)  # type: ignore[attr-defined]


@pytest.mark.parametrize("architecture", STUDENTS, ids=lambda a: a.name)
@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu", "silu"])
def test_an_onnx_file_computes_what_transformers_computes(
    architecture: Architecture, activation: str
) -> None:
    encoder = ENCODER.model_copy(update={"hidden_act": activation})
    tensors = random_tensors(architecture, encoder)
    settings = model_config(architecture, encoder)
    settings.pop("model_type")
    kind = (BertConfig, BertModel) if architecture.stock else (StudentConfig, StudentModel)
    model = kind[1].from_pretrained(None, config=kind[0](**settings), state_dict=tensors).eval()
    session = open_session(onnx_bytes(architecture, encoder, tensors), threads=1)
    generator = torch.Generator().manual_seed(0)
    for batch, tokens in ((1, 1), (2, 7), (3, 32)):
        ids = torch.randint(50, (batch, tokens), generator=generator)
        types = torch.randint(2, (batch, tokens), generator=generator)
        mask = torch.ones_like(ids)
        mask[-1, tokens // 2 + 1 :] = 0
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        with torch.inference_mode():
            wanted = model(**inputs)
        hidden, pooled = session.run(None, {key: value.numpy() for key, value in inputs.items()})
        kept = mask.bool().numpy()
        np.testing.assert_allclose(
            hidden[kept], wanted.last_hidden_state.numpy()[kept], atol=2e-5, rtol=0
        )
        np.testing.assert_allclose(pooled, wanted.pooler_output.numpy(), atol=2e-5, rtol=0)


@pytest.mark.parametrize("kind", ["stock", "free"])
def test_a_limit_under_onnxruntime_hands_over_a_checked_onnx_file(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    superlm: SuperLM = request.getfixturevalue(f"{kind}_superlm")
    budget = Budget(latency=LatencyLimit(ms=1, device="d", runtime="onnxruntime"))
    candidate = superlm.candidates[1]
    receipt = extract_student(superlm, candidate, tmp_path, budget)
    assert receipt.files[ONNX_FILE].size_bytes == (tmp_path / ONNX_FILE).stat().st_size
    assert receipt.onnx_parity is not None
    assert receipt.onnx_parity.max_abs_difference <= 1e-4
    for conditions in (SHORT, ONNX, SHORT.model_copy(update={"dtype": "bfloat16"})):
        outputs = folder_forward(tmp_path, conditions)()
        assert tuple(outputs[0].shape) == (3, 12, candidate.hidden)  # type: ignore[index]

    architecture, encoder = candidate.architecture, superlm.spec.encoder
    other = random_tensors(architecture, encoder)
    write_onnx(architecture, encoder, other, tmp_path / ONNX_FILE)
    with pytest.raises(ParityFailure, match="differs by"):
        check_onnx_parity(superlm, architecture, tmp_path, load_elastic(superlm))


def test_without_such_a_limit_there_is_no_onnx_file(stock_superlm: SuperLM, tmp_path: Path) -> None:
    receipt = extract_student(stock_superlm, stock_superlm.candidates[0], tmp_path)
    assert receipt.onnx_parity is None
    assert ONNX_FILE not in receipt.files
    with pytest.raises(InvalidInput, match=r"holds no model\.onnx"):
        folder_forward(tmp_path, ONNX)
    (tmp_path / ONNX_FILE).write_bytes(b"no model")
    with pytest.raises(InvalidInput, match="cannot read the model"):
        folder_forward(tmp_path, ONNX)


def test_a_sequence_longer_than_the_positions_is_refused(
    stock_superlm: SuperLM, tmp_path: Path
) -> None:
    long = Conditions(sequence_length=129, threads=1)
    extract_student(stock_superlm, stock_superlm.candidates[0], tmp_path)
    with pytest.raises(InvalidInput, match="129 tokens are more than the 128 positions"):
        folder_forward(tmp_path, long)
    with pytest.raises(InvalidInput, match="128 positions"):
        check_conditions(long, 128)
    with pytest.raises(InvalidInput, match="no model that transformers can load"):
        folder_forward(tmp_path / "nothing", SHORT)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named_with_what_installs_it(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InvalidInput, match=rf"{package}: pip install 'autodistil\[onnx\]'"):
        check_conditions(ONNX, 32)
    check_conditions(SHORT, 32)


@pytest.mark.parametrize("wrong", [None, "many", 0])
def test_a_config_without_a_vocabulary_is_refused(
    wrong: object, stock_superlm: SuperLM, tmp_path: Path
) -> None:
    budget = Budget(latency=LatencyLimit(ms=1, **ONNX.how.model_dump()))
    extract_student(stock_superlm, stock_superlm.candidates[0], tmp_path, budget)
    edit_json(tmp_path / "config.json", lambda config: {**config, "vocab_size": wrong})
    with pytest.raises(InvalidInput, match="has no vocab_size that is a positive number"):
        folder_forward(tmp_path, ONNX)
