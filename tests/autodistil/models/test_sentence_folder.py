"""What the files of sentence-transformers say, and what of it is supported."""

import json
from pathlib import Path
from typing import Any

import pytest

from autodistil.errors import UnsupportedTeacher
from autodistil.models.sentence_folder import read_embedding, read_pooling
from autodistil.models.teacher import load_teacher
from autodistil.spaces.embedding import Pooling, SentenceEmbedding
from tests.factories import edit_json, write_embedder

MODULES, POOLING = "modules.json", "1_Pooling/config.json"
TRANSFORMER, USERS = "sentence_bert_config.json", "config_sentence_transformers.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files alone; the model beside them is not looked at."""
    (tmp_path / "1_Pooling").mkdir()
    write(tmp_path, MODULES, modules("Transformer", "Pooling", "Normalize"))
    write(tmp_path, POOLING, {"word_embedding_dimension": 64, "pooling_mode_mean_tokens": True})
    return tmp_path


def modules(*kinds: str, package: str = "sentence_transformers.models") -> list[dict[str, Any]]:
    return [
        {"idx": i, "name": str(i), "path": "", "type": f"{package}.{kind}"}
        for i, kind in enumerate(kinds)
    ]


def write(folder: Path, file: str, content: object) -> None:
    (folder / file).write_text(json.dumps(content))


def read(folder: Path) -> SentenceEmbedding | None:
    return read_embedding(str(folder), hidden=64, positions=128)


def refused(folder: Path, message: str) -> None:
    with pytest.raises(UnsupportedTeacher, match=message):
        read(folder)


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode_mean_tokens": True}, Pooling.MEAN),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, Pooling.MEAN),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, Pooling.CLS),
        ({"pooling_mode": "mean"}, Pooling.MEAN),
        ({"pooling_mode": "cls"}, Pooling.CLS),
        ({"pooling_mode": "mean", "include_prompt": True}, Pooling.MEAN),
    ],
)
def test_the_pooling_is_read_in_old_and_new_words(
    config: dict[str, Any], pooling: Pooling, folder: Path
) -> None:
    write(folder, POOLING, config)
    found = read(folder)
    assert found
    assert found.pooling is pooling
    assert read_pooling(str(folder)) is pooling


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"pooling_mode_max_tokens": True}, "max_tokens"),
        ({"pooling_mode": "max"}, "max_tokens"),
        ({"pooling_mode": "weightedmean"}, "weightedmean_tokens"),
        ({"pooling_mode_lasttoken": True}, "lasttoken"),
        (
            {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True},
            "mean_tokens, cls_token",
        ),
        ({"pooling_mode_mean_tokens": False}, "nothing"),
        ({}, "nothing"),
    ],
)
def test_another_pooling_is_refused_by_its_name(
    config: dict[str, Any], found: str, folder: Path
) -> None:
    write(folder, POOLING, config)
    refused(folder, f"pools by {found}; supported are mean_tokens and cls_token")
    with pytest.raises(UnsupportedTeacher, match=f"pools by {found};"):
        read_pooling(str(folder))


@pytest.mark.parametrize(
    "kinds", [("Dense", "Normalize"), ("Normalize", "Dense"), ("LayerNorm",), ("WordWeights",)]
)
def test_a_module_that_students_could_not_carry_on_is_refused_by_its_name(
    kinds: tuple[str, ...], folder: Path
) -> None:
    write(folder, MODULES, modules("Transformer", "Pooling", *kinds))
    unknown = next(kind for kind in kinds if kind != "Normalize")
    refused(folder, f"module of the kind '{unknown}'")


@pytest.mark.parametrize(
    "package", ["sentence_transformers.models", "sentence_transformers.base.modules"]
)
@pytest.mark.parametrize("normalize", [True, False])
def test_modules_are_known_by_the_last_part_of_their_type(
    normalize: bool, package: str, folder: Path
) -> None:
    kinds = ["Transformer", "Pooling", *(["Normalize"] if normalize else [])]
    write(folder, MODULES, modules(*kinds, package=package))
    found = read(folder)
    assert found
    assert found.normalize is normalize


def test_a_folder_without_such_files_is_no_embedder(folder: Path, tmp_path: Path) -> None:
    (folder / MODULES).unlink()
    (folder / POOLING).unlink()
    assert read(folder) is None
    assert read_pooling(str(folder)) is None


def test_modules_without_pooling_make_no_embedder(folder: Path) -> None:
    write(folder, MODULES, modules("Transformer"))
    (folder / POOLING).unlink()
    assert read(folder) is None


def test_pooling_without_a_list_of_modules_is_an_embedder_that_does_not_normalise(
    folder: Path,
) -> None:
    (folder / MODULES).unlink()
    assert read(folder) == SentenceEmbedding(
        width=64, pooling=Pooling.MEAN, normalize=False, max_seq_length=128
    )


def test_a_pooling_module_without_its_file_is_refused(folder: Path) -> None:
    (folder / POOLING).unlink()
    refused(folder, f"{POOLING}, which says how, is missing")


@pytest.mark.parametrize(
    ("asked", "longest"), [(100, 100), (128, 128), (512, 128), (None, 128), (1, 1)]
)
def test_texts_are_never_longer_than_the_positions(
    asked: int | None, longest: int, folder: Path
) -> None:
    write(folder, TRANSFORMER, {"max_seq_length": asked, "do_lower_case": True})
    found = read(folder)
    assert found
    assert (found.max_seq_length, found.do_lower_case) == (longest, True)


def test_what_users_rely_on_is_read(folder: Path) -> None:
    prompts = {"query": "Represent this: ", "passage": ""}
    users = {"prompts": prompts, "default_prompt_name": "query", "similarity_fn_name": "dot"}
    write(folder, USERS, {"__version__": {"pytorch": "2"}, **users})
    found = read(folder)
    assert found
    assert (found.prompts, found.default_prompt_name) == (prompts, "query")
    assert found.similarity == "dot"
    write(folder, USERS, {"prompts": None, "default_prompt_name": None, "similarity_fn_name": None})
    found = read(folder)
    assert found
    assert (found.prompts, found.default_prompt_name) == ({}, None)
    assert found.similarity == "cosine"


def test_prompts_left_out_of_the_mean_are_refused_but_only_where_there_are_prompts(
    folder: Path,
) -> None:
    write(folder, POOLING, {"pooling_mode_mean_tokens": True, "include_prompt": False})
    assert read(folder)
    write(folder, USERS, {"prompts": {"query": "Find: "}})
    refused(folder, "include_prompt is false")


@pytest.mark.parametrize("file", [MODULES, POOLING, TRANSFORMER, USERS])
@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff", b"\x00"])
def test_a_damaged_file_is_named(content: bytes, file: str, folder: Path) -> None:
    (folder / file).write_bytes(content)
    refused(folder, rf"{file} cannot be read \(.*; mend or delete it")


@pytest.mark.parametrize("file", [POOLING, TRANSFORMER, USERS])
@pytest.mark.parametrize("content", [[1], "mean", 5, True, [], 0, False, ""])
def test_a_file_that_holds_no_object_is_named(content: object, file: str, folder: Path) -> None:
    write(folder, file, content)
    refused(folder, f"{file} is no JSON object; mend or delete it")


@pytest.mark.parametrize("file", [MODULES, POOLING, TRANSFORMER, USERS])
def test_a_file_that_holds_nothing_is_named(file: str, folder: Path) -> None:
    write(folder, file, None)
    refused(folder, f"{file} holds nothing; mend or delete it")


@pytest.mark.parametrize("content", [{}, {"a": 1}, 5, ["x"], [{}], [[1]], "Pooling"])
def test_a_list_of_modules_that_is_none_is_refused(content: object, folder: Path) -> None:
    write(folder, MODULES, content)
    refused(folder, r"modules\.json is no list of modules")


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        (TRANSFORMER, {"max_seq_length": 0.5}, "max_seq_length"),
        (TRANSFORMER, {"max_seq_length": -3}, "max_seq_length"),
        (TRANSFORMER, {"max_seq_length": "long"}, "not supported between"),
        (USERS, {"prompts": ["query"]}, "prompts"),
        (USERS, {"prompts": {"query": 5}}, "prompts"),
        (USERS, {"prompts": {"query": "x" * 10_001}}, "prompts"),
        (USERS, {"similarity_fn_name": "exec('x')"}, "similarity"),
        (USERS, {"default_prompt_name": 5}, "default_prompt_name"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    file: str, content: object, reason: str, folder: Path
) -> None:
    write(folder, file, content)
    refused(folder, f"sentence-transformers beside it are unusable .*{reason}")


def test_a_teacher_carries_its_embedding_and_reads_no_more_than_it_says(tmp_path: Path) -> None:
    folder = write_embedder(tmp_path / "embedder", pooling="cls")
    teacher = load_teacher(str(folder))
    assert teacher.embedding == SentenceEmbedding(
        width=64, pooling=Pooling.CLS, normalize=True, max_seq_length=100
    )
    assert teacher.longest == 100
    edit_json(folder / MODULES, lambda found: [*found, *modules("Dense")])
    with pytest.raises(UnsupportedTeacher, match="'Dense'"):
        load_teacher(str(folder))
