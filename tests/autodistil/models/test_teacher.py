import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM, BertModel

from autodistil.errors import UnsupportedTeacher
from autodistil.families.architecture import Architecture
from autodistil.families.registry import read_encoder
from autodistil.models.teacher import Teacher, load_teacher
from tests.factories import VOCABULARY, build_tokenizer, edit_json, randomize, write_teacher

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(teacher_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny teacher that a test may change."""
    shutil.copytree(teacher_folder, tmp_path / "copy")
    return tmp_path / "copy"


def edit_weights(path: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def test_a_teacher_has_the_sizes_and_tensors_of_its_folder(
    teacher: Teacher, teacher_folder: Path
) -> None:
    assert teacher.name == "tiny-teacher"
    assert teacher.architecture == Architecture(
        layers=4, hidden=64, heads=4, head_width=16, intermediate=256
    )
    assert teacher.encoder.vocab_size == len(VOCABULARY) == len(teacher.tokenizer)
    expected = BertModel.from_pretrained(teacher_folder).state_dict()
    assert set(teacher.tensors) == set(expected)
    assert list(teacher.tensors) == list(teacher.encoder.shapes(teacher.architecture))
    for name, tensor in teacher.tensors.items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, expected[name])
    assert teacher.embedding is None
    assert teacher.longest == 128


def test_the_hash_is_that_of_the_weights(teacher: Teacher, folder: Path) -> None:
    assert load_teacher(str(folder)).sha256 == teacher.sha256
    edit_weights(folder / WEIGHTS, lambda t: t["pooler.dense.bias"][:1].add_(1))
    assert load_teacher(str(folder)).sha256 != teacher.sha256


def test_a_half_precision_teacher_is_read_in_fp32(folder: Path) -> None:
    BertModel.from_pretrained(folder, dtype=torch.float16).save_pretrained(folder)
    assert load_file(folder / WEIGHTS)["pooler.dense.bias"].dtype == torch.float16
    assert load_teacher(str(folder)).tensors["pooler.dense.bias"].dtype == torch.float32


def test_a_masked_language_model_is_read_with_an_identity_for_its_missing_pooler(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=len(VOCABULARY),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
        )
    )
    randomize(model)
    model.save_pretrained(tmp_path)
    build_tokenizer(tmp_path)
    teacher = load_teacher(str(tmp_path))
    assert torch.equal(teacher.tensors["pooler.dense.weight"], torch.eye(16))
    assert torch.equal(teacher.tensors["pooler.dense.bias"], torch.zeros(16))
    word = "embeddings.word_embeddings.weight"
    assert torch.equal(teacher.tensors[word], model.state_dict()[f"bert.{word}"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gpt2"}, "Models of type 'gpt2' cannot be teachers"),
        ({"is_decoder": True}, "it is a decoder"),
        ({"position_embedding_type": "relative_key"}, "its positions are relative"),
        ({"hidden_size": 66}, "hidden 66 is not a multiple of 4 heads"),
        ({"num_attention_heads": 0}, "unusable"),
        ({"hidden_act": "tanh"}, "hidden_act"),
        ({"hidden_size": "64"}, "hidden_size"),
        ({"num_hidden_layers": 0}, "layers"),
        ({"num_hidden_layers": 5}, "lacks weights: encoder.layer.4"),
        ({"intermediate_size": 128}, "size"),
        ({"vocab_size": 100}, "size"),
        ({"layer_norm_eps": 5.0}, "layer_norm_eps"),
        ({"model_type": "no-such-model"}, "no-such-model"),
    ],
)
def test_a_config_that_is_no_teachers_is_refused(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    edit_json(folder / "config.json", lambda config: config | changes)
    with pytest.raises(UnsupportedTeacher, match=message):
        load_teacher(str(folder))


def test_a_teacher_without_tokenizer_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(UnsupportedTeacher, match="no fast tokenizer"):
        load_teacher(str(folder))


@pytest.mark.parametrize("content", ["{", "{}", '{"a": 1}', ""])
def test_a_damaged_tokenizer_is_refused(folder: Path, content: str) -> None:
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(UnsupportedTeacher):
        load_teacher(str(folder))


def test_a_tokenizer_with_more_tokens_than_embeddings_is_refused(tmp_path: Path) -> None:
    write_teacher(tmp_path, vocab_size=100, num_hidden_layers=1)
    with pytest.raises(UnsupportedTeacher, match=f"{len(VOCABULARY)} tokens for 100 embeddings"):
        load_teacher(str(tmp_path))


def test_missing_weights_are_refused_by_name(folder: Path) -> None:
    edit_weights(folder / WEIGHTS, lambda t: t.pop("encoder.layer.1.output.dense.bias"))
    with pytest.raises(UnsupportedTeacher, match="encoder.layer.1.output.dense.bias"):
        load_teacher(str(folder))


def test_weights_that_are_not_finite_are_refused(folder: Path) -> None:
    name = "encoder.layer.1.output.dense.bias"
    edit_weights(folder / WEIGHTS, lambda t: t[name][:1].fill_(float("nan")))
    with pytest.raises(UnsupportedTeacher, match=f"not finite, in {name}"):
        load_teacher(str(folder))


@pytest.mark.parametrize("keep", [0, 5, 5000])
def test_truncated_weights_are_refused(folder: Path, keep: int) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:keep])
    with pytest.raises(UnsupportedTeacher):
        load_teacher(str(folder))


def test_pickled_weights_are_never_read(folder: Path) -> None:
    torch.save(load_file(folder / WEIGHTS), folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()
    with pytest.raises(UnsupportedTeacher, match=f"no {WEIGHTS}.*never read.*save it anew"):
        load_teacher(str(folder))


@pytest.mark.parametrize("name", ["/nowhere/at-all", "./nowhere", "a/b/c", "no name"])
def test_a_folder_that_is_not_there_is_no_model_on_the_hub(name: str) -> None:
    with pytest.raises(UnsupportedTeacher, match=f"There is no folder '{name}', and it is no id"):
        load_teacher(name)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedTeacher, match="has no config.json; name the folder that"):
        load_teacher(str(tmp_path))


def test_sizes_of_a_config_without_a_field_are_refused() -> None:
    with pytest.raises(UnsupportedTeacher, match="hidden_size"):
        read_encoder({"model_type": "bert"})


def test_an_endless_width_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    with pytest.raises(UnsupportedTeacher, match="unusable"):
        read_encoder({**config, "hidden_size": float("inf")})
