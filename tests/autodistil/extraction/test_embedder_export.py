"""Students of a sentence embedder, as folders that stand in for their teacher."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModel, AutoTokenizer, BertModel

from autodistil.downstream.embedder import open_embedder
from autodistil.downstream.scored_folder import describe_model
from autodistil.downstream.scores import Role
from autodistil.evaluation.candidates import Candidate
from autodistil.extraction.handover import extract_student
from autodistil.extraction.onnx_graph import ONNX_FILE
from autodistil.extraction.receipt import Receipt
from autodistil.latency.conditions import LatencyLimit
from autodistil.models.model_folder import read_facts
from autodistil.models.sentence_vectors import pool
from autodistil.models.teacher import Teacher, load_teacher
from autodistil.search.budget import Budget
from autodistil.spaces.embedding import Pooling, Vectors
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.slicing import load_elastic, slice_map
from autodistil.superlm.tokenizers import load_tokenizer
from autodistil.text.vocabulary_texts import Texts
from tests.autodistil.extraction.loading import run_elsewhere
from tests.exports import export
from tests.factories import (
    EMBEDDER_SETTINGS,
    EMBEDDER_SPACE,
    make_bundle,
    random_batch,
    write_embedder,
)

TEXTS = ["Ba be bi bo bu.", "Dans, unknown wörds!", "Zo zo " * 80, "A"]
"""One of them longer than the 100 tokens that the teacher reads."""


@pytest.fixture(scope="module")
def cls_superlm(embedder_texts: Texts, tmp_path_factory: pytest.TempPathFactory) -> SuperLM:
    """Students of an embedder that takes the first token's vector."""
    folder = tmp_path_factory.mktemp("cls")
    teacher = load_teacher(str(write_embedder(folder / "teacher", pooling="cls")))
    settings = EMBEDDER_SETTINGS.model_copy(update={"tokens": 300})
    return make_bundle(teacher, EMBEDDER_SPACE, embedder_texts, folder, "cls", settings)


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


def test_it_loads_in_plain_transformers_with_no_weight_missing_or_left_over(
    embedder_superlm: SuperLM, tmp_path: Path
) -> None:
    for index, candidate in enumerate(embedder_superlm.candidates):
        folder = tmp_path / str(index)
        export(embedder_superlm, folder, index)
        model, info = AutoModel.from_pretrained(folder, output_loading_info=True)
        assert not any(info.values())
        assert type(model) is BertModel
        assert model.config.vocab_size == candidate.vocab
        assert not list(folder.rglob("*.py"))


def test_it_loads_in_a_process_that_knows_nothing_of_us(
    embedder_superlm: SuperLM, tmp_path: Path
) -> None:
    candidate = export(embedder_superlm, tmp_path / "student", 3)
    batch = random_batch(candidate.vocab or 0, tokens=20)
    name, found = run_elsewhere(tmp_path / "student", batch, trust=False)
    assert name == "BertModel"
    given = (batch.input_ids, batch.attention_mask, candidate.architecture)
    wanted = load_elastic(embedder_superlm)(*given).hidden
    assert (found - wanted)[batch.attention_mask.bool()].abs().max() <= 1e-5


def wanted_vectors(superlm: SuperLM, candidate: Candidate, pooling: Pooling) -> torch.Tensor:
    """The SuperLM's vectors of `TEXTS` one by one, in the student's tokens, of length 1."""
    tokenizer, encoder = load_tokenizer(superlm, candidate.vocab), load_elastic(superlm)
    rows = []
    for text in TEXTS:
        tokens = tokenizer(text.strip(), truncation=True, max_length=100, return_tensors="pt")
        given = (tokens["input_ids"], tokens["attention_mask"])
        rows.append(encoder.vectors(*given, candidate.architecture, pooling))
    return F.normalize(torch.cat(rows), dim=1)


@pytest.mark.parametrize("kind", [Pooling.MEAN, Pooling.CLS])
def test_its_own_files_make_the_superlms_vectors_of_the_teachers_width(
    kind: Pooling, embedder_superlm: SuperLM, cls_superlm: SuperLM, tmp_path: Path
) -> None:
    superlm = {Pooling.MEAN: embedder_superlm, Pooling.CLS: cls_superlm}[kind]
    for index in range(len(superlm.candidates)):
        candidate = export(superlm, tmp_path / str(index), index)
        found = open_embedder(tmp_path / str(index)).encode(TEXTS)
        assert found.shape == (len(TEXTS), 64)
        wanted = wanted_vectors(superlm, candidate, kind).numpy()
        assert np.abs(found - wanted).max() <= 1e-5


def test_the_files_of_sentence_transformers_say_what_the_teachers_say(
    embedder_superlm: SuperLM, cls_superlm: SuperLM, tmp_path: Path
) -> None:
    for superlm, pooling in ((embedder_superlm, "mean_tokens"), (cls_superlm, "cls_token")):
        folder = tmp_path / superlm.spec.name
        candidate = export(superlm, folder, -1)
        modules = read(folder, "modules.json")
        assert [m["path"] for m in modules] == ["", "1_Pooling", "2_Dense", "3_Normalize"]
        assert [m["type"].rpartition(".")[2] for m in modules] == [
            "Transformer",
            "Pooling",
            "Dense",
            "Normalize",
        ]
        flags = read(folder, "1_Pooling/config.json")
        assert flags.pop("word_embedding_dimension") == candidate.hidden
        assert flags.pop("include_prompt") is True
        assert len(flags) == 6
        assert [name for name, value in flags.items() if value] == [f"pooling_mode_{pooling}"]
        dense = read(folder, "2_Dense/config.json")
        assert (dense["in_features"], dense["out_features"]) == (candidate.hidden, 64)
        assert dense["activation_function"] == "torch.nn.modules.linear.Identity"
        own = read(folder, "sentence_bert_config.json")
        assert own == {"max_seq_length": 100, "do_lower_case": False}
        assert read(folder, "config_sentence_transformers.json") == {
            "prompts": {},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        }


def with_embedding(superlm: SuperLM, **changes: object) -> SuperLM:
    """The SuperLM of a teacher that embeds in another way."""
    teacher = superlm.spec.teacher
    assert teacher.embedding is not None
    embedding = teacher.embedding.model_copy(update=changes)
    changed = teacher.model_copy(update={"embedding": embedding})
    return replace(superlm, spec=superlm.spec.model_copy(update={"teacher": changed}))


def test_the_teachers_prompts_are_carried_and_used(
    embedder_superlm: SuperLM, tmp_path: Path
) -> None:
    prompts = {"query": "zo be: ", "passage": ""}
    changed = with_embedding(
        embedder_superlm, prompts=prompts, default_prompt_name="query", similarity="dot"
    )
    export(changed, tmp_path / "with")
    export(embedder_superlm, tmp_path / "without")
    assert read(tmp_path / "with", "config_sentence_transformers.json") == {
        "prompts": prompts,
        "default_prompt_name": "query",
        "similarity_fn_name": "dot",
    }
    found = open_embedder(tmp_path / "with").encode(["ba"])
    wanted = open_embedder(tmp_path / "without").encode(["zo be: ba"])
    assert np.allclose(found, wanted, atol=1e-6)


def test_vectors_of_a_teacher_that_does_not_normalise_are_as_long_as_they_come(
    embedder_superlm: SuperLM, tmp_path: Path
) -> None:
    receipt = extract_student(
        with_embedding(embedder_superlm, normalize=False), embedder_superlm.candidates[0], tmp_path
    )
    kinds = [module["type"].rpartition(".")[2] for module in read(tmp_path, "modules.json")]
    assert kinds == ["Transformer", "Pooling", "Dense"]
    assert receipt.sentence_vectors is not None
    assert not receipt.sentence_vectors.normalized
    lengths = np.linalg.norm(open_embedder(tmp_path).encode(TEXTS), axis=1)
    assert not np.allclose(lengths, 1, atol=0.01)


@pytest.mark.parametrize("index", [0, 1])
def test_the_tokenizer_is_trimmed_to_the_students_vocabulary(
    index: int, embedder_superlm: SuperLM, embedder: Teacher, tmp_path: Path
) -> None:
    candidate = export(embedder_superlm, tmp_path, index)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert len(tokenizer) == candidate.vocab == (80, 120)[index]
    assert set(tokenizer.get_vocab().values()) == set(range(candidate.vocab))
    assert read(tmp_path, "config.json")["pad_token_id"] == tokenizer.pad_token_id
    own, whole = tokenizer("Ba be bi."), embedder.tokenizer("Ba be bi.")
    words = embedder.tokenizer.decode(whole["input_ids"]).replace(" ", "")
    assert tokenizer.decode(own["input_ids"]).replace(" ", "") == words
    assert tokenizer.all_special_tokens == embedder.tokenizer.all_special_tokens


def test_the_receipt_and_the_facts_say_what_is_on_disk(
    embedder_superlm: SuperLM, tmp_path: Path
) -> None:
    for index, candidate in enumerate(embedder_superlm.candidates):
        folder = tmp_path / str(index)
        receipt = extract_student(embedder_superlm, candidate, folder)
        files = [folder / "model.safetensors", folder / "2_Dense" / "model.safetensors"]
        assert sum(path.stat().st_size for path in files) == candidate.size_bytes
        assert {"2_Dense/model.safetensors", "2_Dense/config.json"} <= receipt.files.keys()
        facts = read_facts(folder)
        assert facts.params == candidate.params == receipt.cost.params
        described = describe_model("m", folder, Role.STUDENT)
        assert (described.sha256, described.params) == (facts.sha256, facts.params)
        assert candidate.vector_distance is not None
        assert receipt.vector_distance == candidate.vector_distance
        found = receipt.sentence_vectors
        assert found is not None
        assert found.model_dump() == {
            "width": 64,
            "pooling": "mean",
            "normalized": True,
            "max_seq_length": 100,
            "in_teacher_space": True,
            "mean_cosine_to_teacher": 1 - candidate.vector_distance,
        }
        assert receipt.parity.vectors_max_abs_difference is not None
        assert receipt.parity.vectors_max_abs_difference <= 1e-5
        assert Receipt.model_validate_json(receipt.model_dump_json()) == receipt


def test_own_vectors_leave_the_map_out_and_the_receipt_says_so(
    embedder_superlm: SuperLM, tmp_path: Path
) -> None:
    candidate = embedder_superlm.candidates[0]
    receipt = extract_student(embedder_superlm, candidate, tmp_path, vectors=Vectors.OWN)
    assert not (tmp_path / "2_Dense").exists()
    paths = [module["path"] for module in read(tmp_path, "modules.json")]
    assert paths == ["", "1_Pooling", "2_Normalize"]
    found = receipt.sentence_vectors
    assert found is not None
    assert (found.width, found.in_teacher_space) == (candidate.hidden, False)
    assert found.mean_cosine_to_teacher is None
    assert receipt.cost.size_bytes == (tmp_path / "model.safetensors").stat().st_size
    assert receipt.cost.params == read_facts(tmp_path).params == candidate.params - 17 * 64
    assert f"{receipt.cost.params:,}" in (tmp_path / "README.md").read_text()
    vectors = open_embedder(tmp_path).encode(TEXTS)
    assert vectors.shape == (len(TEXTS), 16)
    tokens = load_tokenizer(embedder_superlm, candidate.vocab)(TEXTS[0], return_tensors="pt")
    given = (tokens["input_ids"], tokens["attention_mask"])
    hidden = load_elastic(embedder_superlm)(*given, candidate.architecture).hidden
    wanted = F.normalize(pool(hidden, given[1], Pooling.MEAN), dim=1)
    assert np.abs(vectors[0] - wanted[0].numpy()).max() <= 1e-5
    card = (tmp_path / "README.md").read_text()
    assert "in a space of their own" in card


def test_the_card_says_that_the_student_searches_the_teachers_index(
    embedder_superlm: SuperLM, tmp_path: Path
) -> None:
    candidate = export(embedder_superlm, tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert (
        "(64 wide; the mean of its tokens, normalised) are in the space of `tiny-embedder`" in card
    )
    assert "mean cosine to the teacher's sentence vectors" in card
    assert candidate.vector_distance is not None
    assert f"{1 - candidate.vector_distance:.4f}" in card
    assert f"/ {candidate.vocab} |" in card


def test_onnx_works_with_a_vocabulary_of_its_own(embedder_superlm: SuperLM, tmp_path: Path) -> None:
    budget = Budget(latency=LatencyLimit(ms=1e6, device="any", runtime="onnxruntime"))
    sizes = []
    for index in (0, 1):
        folder = tmp_path / str(index)
        receipt = extract_student(
            embedder_superlm, embedder_superlm.candidates[index], folder, budget
        )
        assert receipt.onnx_parity is not None
        assert receipt.onnx_parity.max_abs_difference <= receipt.onnx_parity.tolerance
        assert receipt.onnx_parity.vectors_max_abs_difference is None
        sizes.append((folder / ONNX_FILE).stat().st_size)
    # Of the same layers, one with 40 words of 16 values more.
    assert sizes[1] - sizes[0] == pytest.approx(40 * 16 * 4, abs=64)


def test_the_map_of_a_bundle_is_written_as_it_is(embedder_superlm: SuperLM, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    candidate = export(embedder_superlm, tmp_path)
    found = load_file(tmp_path / "2_Dense" / "model.safetensors")
    wanted = slice_map(embedder_superlm, candidate.architecture)
    assert wanted is not None
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in found)
