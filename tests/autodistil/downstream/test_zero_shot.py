import random
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from autodistil.downstream.task_data import Examples
from autodistil.downstream.zero_shot import folder_embedder, stsb_spearman
from autodistil.errors import InvalidInput
from autodistil.evaluation.candidates import Candidate
from autodistil.extraction.export import export_transformers
from autodistil.models.elastic import mean_pool
from autodistil.models.model_folder import read_facts
from autodistil.models.teacher import Teacher
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.slicing import slice_student
from autodistil.training.start import teacher_encoder
from tests.factories import edit_json, sentence
from tests.ranks import moved_by_near_ties


def test_spearman_is_of_ranks_alone() -> None:
    angles = {"x": 0.0, "a": 0.1, "b": 0.5, "c": 1.0, "d": 2.0}

    def direction(texts: list[str]) -> torch.Tensor:
        radians = torch.tensor([angles[text] for text in texts])
        return torch.stack((radians.cos(), radians.sin()), dim=1)

    def score(*scores: float) -> float:
        return stsb_spearman(direction, Examples(["x"] * 4, list("abcd"), list(scores)))

    assert score(5, 3, 2.9, 0) == pytest.approx(1.0)
    assert score(0, 1, 2, 5) == pytest.approx(-1.0)
    # Ranks 1 2 4 3 against 1 2 3 4: 1 - 6 x (0 + 0 + 1 + 1) / (4 x 15).
    assert score(5, 4, 0, 1) == pytest.approx(0.8)


def test_vectors_are_those_of_each_text_alone_whatever_the_order(
    teacher: Teacher, teacher_folder: Path
) -> None:
    rng = random.Random(0)
    texts = [" ".join(sentence(rng) for _ in range(rng.randint(1, 6))) for _ in range(23)]
    assert [len(text) for text in texts] != sorted(len(text) for text in texts)
    embed = folder_embedder(teacher_folder, batch_size=4)
    vectors = embed(texts)
    encoder = teacher_encoder(teacher)
    for text, found in zip(texts, vectors, strict=True):
        tokens = teacher.tokenizer(text, return_tensors="pt")
        mask = tokens["attention_mask"]
        hidden = encoder(tokens["input_ids"], mask, teacher.architecture).hidden
        assert torch.allclose(found, mean_pool(hidden, mask)[0], atol=1e-5)


def test_long_texts_are_cut_to_128_tokens(teacher_folder: Path) -> None:
    embed = folder_embedder(teacher_folder)
    short, long, longer = embed(["ba " * 20, "ba " * 126, "ba " * 126 + "zo " * 500])
    assert torch.allclose(long, longer, atol=1e-5)
    assert not torch.allclose(short, long, atol=1e-3)


def export(superlm: SuperLM, folder: Path) -> Candidate:
    """The first student of a SuperLM, as a folder."""
    candidate = superlm.candidates[0]
    tensors = slice_student(superlm, candidate.architecture)
    export_transformers(superlm, candidate, tensors, folder)
    return candidate


def test_the_score_of_a_student_folder_is_a_correlation(
    stock_superlm: SuperLM, tmp_path: Path
) -> None:
    export(stock_superlm, tmp_path / "student")
    embed, rng = folder_embedder(tmp_path / "student"), random.Random(0)
    first, second = ([sentence(rng) for _ in range(12)] for _ in range(2))
    cosines = F.cosine_similarity(embed(first), embed(second))
    pairs = Examples(first, second, (cosines * 3 + 2).tolist())
    near = moved_by_near_ties(cosines.tolist(), cosines.tolist())
    assert stsb_spearman(embed, pairs) == pytest.approx(1.0, abs=near + 1e-6)


def test_a_student_of_free_head_width_is_loaded_by_our_class_its_own_code_unrun(
    free_superlm: SuperLM, tmp_path: Path
) -> None:
    candidate = export(free_superlm, tmp_path)
    (tmp_path / "modeling_student.py").write_text("raise SystemExit('ran')")
    assert folder_embedder(tmp_path)(["ba be"]).shape == (1, candidate.architecture.hidden)
    facts = read_facts(tmp_path)
    assert (facts.macs, facts.params) == (candidate.macs, candidate.params)


def test_a_model_with_code_of_others_is_refused_unrun(
    free_superlm: SuperLM, tmp_path: Path
) -> None:
    export(free_superlm, tmp_path)
    edit_json(tmp_path / "config.json", lambda config: {**config, "model_type": "unheard-of"})
    (tmp_path / "modeling_student.py").write_text("raise SystemExit('ran')")
    with pytest.raises(InvalidInput, match="custom code"):
        folder_embedder(tmp_path)


def test_a_models_facts_change_with_its_weights_but_not_with_its_receipt(
    stock_superlm: SuperLM, tmp_path: Path
) -> None:
    candidate = export(stock_superlm, tmp_path)
    facts = read_facts(tmp_path)
    assert (facts.macs, facts.params) == (candidate.macs, candidate.params)
    (tmp_path / "receipt.json").write_text("{}")
    assert read_facts(tmp_path) == facts
    weights = bytearray((tmp_path / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(weights)
    assert read_facts(tmp_path).sha256 != facts.sha256
    edit_json(tmp_path / "config.json", lambda config: {**config, "model_type": "distilbert"})
    assert (read_facts(tmp_path).macs, read_facts(tmp_path).params) == (None, None)


@pytest.mark.parametrize("damage", ["empty", "no weights", "bad weights", "bad config"])
def test_a_folder_without_a_loadable_model_is_refused(
    damage: str, stock_superlm: SuperLM, tmp_path: Path
) -> None:
    if damage != "empty":
        candidate = stock_superlm.candidates[0]
        tensors = slice_student(stock_superlm, candidate.architecture)
        export_transformers(stock_superlm, candidate, tensors, tmp_path)
    if damage == "no weights":
        (tmp_path / "model.safetensors").unlink()
    if damage == "bad weights":
        (tmp_path / "model.safetensors").write_bytes(b"x" * 100)
    if damage == "bad config":
        (tmp_path / "config.json").write_text("{")
    with pytest.raises(InvalidInput, match="no model that transformers can load"):
        folder_embedder(tmp_path)
