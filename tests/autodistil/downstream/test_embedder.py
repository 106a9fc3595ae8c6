import random
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from autodistil.downstream.embedder import open_embedder
from autodistil.errors import InvalidInput
from autodistil.models.model_folder import read_facts
from autodistil.models.sentence_vectors import pool
from autodistil.models.teacher import Teacher
from autodistil.spaces.embedding import Pooling
from autodistil.superlm.bundle import SuperLM
from autodistil.training.start import teacher_encoder
from tests.autodistil.downstream.sentence_folders import add_modules, write
from tests.exports import export
from tests.factories import edit_json, sentence, write_teacher


def texts_of_all_lengths(count: int) -> list[str]:
    rng = random.Random(0)
    return [" ".join(sentence(rng) for _ in range(rng.randint(1, 6))) for _ in range(count)]


def matrix(rows: int, columns: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An encoder that a test may add files to."""
    return write_teacher(tmp_path / "encoder")


def test_vectors_are_those_of_each_text_alone_whatever_the_order(
    teacher: Teacher, teacher_folder: Path
) -> None:
    texts = texts_of_all_lengths(150)
    assert [len(text) for text in texts] != sorted(len(text) for text in texts)
    told: list[tuple[int, int]] = []
    vectors = open_embedder(teacher_folder).encode(texts, lambda *step: told.append(step))
    assert told == [(64, 150), (128, 150), (150, 150)]
    assert vectors.dtype == np.float32
    encoder = teacher_encoder(teacher)
    for text, found in zip(texts, vectors, strict=True):
        tokens = teacher.tokenizer(text, return_tensors="pt")
        mask = tokens["attention_mask"]
        hidden = encoder(tokens["input_ids"], mask, teacher.architecture).hidden
        assert np.allclose(found, pool(hidden, mask, Pooling.MEAN)[0].detach(), atol=1e-5)


def test_the_map_and_the_normalisation_follow_the_pooling(folder: Path) -> None:
    texts = texts_of_all_lengths(5)
    pooled = torch.from_numpy(open_embedder(folder).encode(texts))
    weight, bias = matrix(24, 64), matrix(1, 24)[0]
    add_modules(folder, weight, bias)
    wanted = F.normalize(pooled @ torch.from_numpy(weight).T + torch.from_numpy(bias), dim=1)
    assert np.allclose(open_embedder(folder).encode(texts), wanted, atol=1e-5)
    add_modules(folder, weight, None)
    wanted = F.normalize(pooled @ torch.from_numpy(weight).T, dim=1)
    assert np.allclose(open_embedder(folder).encode(texts), wanted, atol=1e-5)
    add_modules(folder, weight, None, activation="torch.nn.modules.activation.Tanh")
    wanted = F.normalize((pooled @ torch.from_numpy(weight).T).tanh(), dim=1)
    assert np.allclose(open_embedder(folder).encode(texts), wanted, atol=1e-5)


@pytest.mark.parametrize("flag", [{"pooling_mode_cls_token": True}, {"pooling_mode": "cls"}])
def test_the_first_tokens_vector_is_taken_where_the_folder_says_so(
    flag: dict[str, object], folder: Path, teacher: Teacher
) -> None:
    add_modules(folder, pooling=flag)
    texts = texts_of_all_lengths(3)
    for text, found in zip(texts, open_embedder(folder).encode(texts), strict=True):
        tokens = teacher.tokenizer(text, return_tensors="pt")
        given = (tokens["input_ids"], tokens["attention_mask"], teacher.architecture)
        first = teacher_encoder(teacher)(*given).hidden[0, 0]
        assert np.allclose(found, F.normalize(first, dim=0), atol=1e-5)


def test_long_texts_are_cut_to_what_the_folder_says(folder: Path) -> None:
    texts = ["ba " * 20, "ba " * 30, "ba " * 30 + "zo " * 500]
    short, long, longer = open_embedder(folder).encode(texts)
    assert not np.allclose(long, longer, atol=1e-3)
    add_modules(folder, max_seq_length=32)
    short, long, longer = open_embedder(folder).encode(texts)
    assert np.allclose(long, longer, atol=1e-5)
    assert not np.allclose(short, long, atol=1e-3)


def test_texts_longer_than_the_positions_are_cut_to_them(teacher_folder: Path) -> None:
    texts = ["ba " * 20, "ba " * 126, "ba " * 126 + "zo " * 500]
    short, long, longer = open_embedder(teacher_folder).encode(texts)
    assert np.allclose(long, longer, atol=1e-5)
    assert not np.allclose(short, long, atol=1e-3)


def test_the_prompt_that_is_the_default_goes_before_every_text(folder: Path) -> None:
    add_modules(folder)
    (wanted,) = open_embedder(folder).encode(["zo be: ba"])
    prompts = {"prompts": {"query": "zo be: "}, "default_prompt_name": None}
    write(folder / "config_sentence_transformers.json", prompts)
    (without,) = open_embedder(folder).encode(["ba"])
    prompts["default_prompt_name"] = "query"  # type: ignore[assignment]
    write(folder / "config_sentence_transformers.json", prompts)
    (found,) = open_embedder(folder).encode(["ba"])
    assert np.allclose(found, wanted, atol=1e-6)
    assert not np.allclose(without, wanted, atol=1e-3)


def test_texts_are_lower_cased_where_the_folder_says_so(folder: Path) -> None:
    edit_json(
        folder / "tokenizer.json",
        lambda file: {**file, "normalizer": {**file["normalizer"], "lowercase": False}},
    )
    edit_json(folder / "tokenizer_config.json", lambda file: {**file, "do_lower_case": False})
    add_modules(folder)
    lower, upper = open_embedder(folder).encode(["ba be", "BA BE"])
    assert not np.allclose(lower, upper, atol=1e-3)
    add_modules(folder, do_lower_case=True)
    lower, upper = open_embedder(folder).encode(["ba be", "BA BE"])
    assert np.allclose(lower, upper, atol=1e-6)


REFUSED = [
    (
        {"pooling": {"pooling_mode_weightedmean_tokens": True}},
        "pooling by weightedmean is not supported",
    ),
    (
        {"pooling": {"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}},
        "pooling by mean and max is not supported",
    ),
    (
        {"pooling": {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}},
        "pooling by mean and cls is not supported",
    ),
    ({"pooling": {"pooling_mode": "attention"}}, "pooling by attention is not supported"),
    ({"activation": "os.system"}, "activation 'os.system' is not supported"),
    ({"max_seq_length": "long"}, "max_seq_length 'long'"),
]


@pytest.mark.parametrize(("modules", "reason"), REFUSED)
def test_what_is_not_supported_is_refused_by_name(
    modules: dict[str, object], reason: str, folder: Path
) -> None:
    add_modules(folder, matrix(8, 64), **modules)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=reason):
        open_embedder(folder)


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        ("[", "modules.json cannot be read"),
        ("[]", "lists no modules"),
        ('{"idx": 0}', "no list of modules"),
        ('[{"idx": 0, "path": "", "type": "a.CLIPModel"}]', "first module is CLIPModel"),
        (
            '[{"idx": 0, "path": "", "type": "a.Transformer"},'
            ' {"idx": 1, "path": "", "type": "a.Normalize"}]',
            "exactly one Pooling",
        ),
        ('[{"idx": 0, "path": "../../x", "type": "a.Transformer"}]', "out of the folder"),
    ],
)
def test_a_list_of_modules_that_cannot_be_followed_is_refused(
    listed: str, reason: str, folder: Path
) -> None:
    (folder / "modules.json").write_text(listed)
    with pytest.raises(InvalidInput, match=reason):
        open_embedder(folder)


def test_a_module_of_another_kind_is_refused_by_name(folder: Path) -> None:
    add_modules(folder)
    edit_json(
        folder / "modules.json",
        lambda modules: [*modules, {"idx": 9, "path": "9_LSTM", "type": "evil.LSTM"}],
    )
    with pytest.raises(InvalidInput, match="module LSTM is not supported"):
        open_embedder(folder)


def test_a_map_for_other_vectors_is_refused(folder: Path) -> None:
    add_modules(folder, matrix(8, 32))
    with pytest.raises(InvalidInput, match="in_features is 32; the vectors are 64 wide"):
        open_embedder(folder).encode(["ba"])


def test_a_map_whose_weights_differ_from_its_config_is_refused(folder: Path) -> None:
    add_modules(folder, matrix(8, 64))
    edit_json(folder / "2_Dense" / "config.json", lambda config: {**config, "out_features": 9})
    with pytest.raises(InvalidInput, match="does not fit"):
        open_embedder(folder)
    (folder / "2_Dense" / "model.safetensors").unlink()
    with pytest.raises(InvalidInput, match="has no model.safetensors. Files of pickled weights"):
        open_embedder(folder)


def test_a_student_of_free_head_width_is_loaded_by_our_class_its_own_code_unrun(
    free_superlm: SuperLM, tmp_path: Path
) -> None:
    candidate = export(free_superlm, tmp_path)
    (tmp_path / "modeling_student.py").write_text("raise SystemExit('ran')")
    assert open_embedder(tmp_path).encode(["ba be"]).shape == (1, candidate.architecture.hidden)
    facts = read_facts(tmp_path)
    assert (facts.macs, facts.params) == (candidate.macs, candidate.params)


def test_a_model_with_code_of_others_is_refused_unrun(
    free_superlm: SuperLM, tmp_path: Path
) -> None:
    export(free_superlm, tmp_path)
    edit_json(tmp_path / "config.json", lambda config: {**config, "model_type": "unheard-of"})
    (tmp_path / "modeling_student.py").write_text("raise SystemExit('ran')")
    with pytest.raises(InvalidInput, match="custom code"):
        open_embedder(tmp_path)


@pytest.mark.parametrize("damage", ["empty", "no weights", "bad weights", "bad config"])
def test_a_folder_without_a_loadable_model_is_refused(
    damage: str, stock_superlm: SuperLM, tmp_path: Path
) -> None:
    if damage != "empty":
        export(stock_superlm, tmp_path)
    if damage == "no weights":
        (tmp_path / "model.safetensors").unlink()
    if damage == "bad weights":
        (tmp_path / "model.safetensors").write_bytes(b"x" * 100)
    if damage == "bad config":
        (tmp_path / "config.json").write_text("{")
    with pytest.raises(InvalidInput, match="no model that transformers can load"):
        open_embedder(tmp_path)


def test_a_path_is_never_an_id_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def ask(*given: object, **options: object) -> None:
        asked.append(given)

    monkeypatch.setattr("transformers.utils.hub.cached_file", ask)
    with pytest.raises(InvalidInput, match="no model that transformers can load"):
        open_embedder(tmp_path / "owner" / "missing")
    assert asked == []
