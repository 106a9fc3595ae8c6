"""What the files of sentence-transformers say, and what of it is supported."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from autodistil.errors import InvalidInput, UnsupportedTeacher
from autodistil.models.model_folder import load_folder, read_facts
from autodistil.models.sentence_folder import Dense, Normalize, SentenceFolder, read_sentence_folder
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
        {"idx": i, "name": str(i), "path": f"{i}_{kind}" if i else "", "type": f"{package}.{kind}"}
        for i, kind in enumerate(kinds)
    ]


def write(folder: Path, file: str, content: object) -> None:
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text(json.dumps(content))


def read(folder: Path) -> SentenceEmbedding | None:
    return read_sentence_folder(folder).embedding(hidden=64, positions=128)


def found(folder: Path) -> SentenceEmbedding:
    embedding = read(folder)
    assert embedding is not None
    return embedding


def refused(folder: Path, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read(folder)


def dense(folder: Path, **config: object) -> None:
    """Describe a Dense module; its weights are not looked at."""
    write(folder, MODULES, modules("Transformer", "Pooling", "Dense", "Normalize"))
    write(folder, "2_Dense/config.json", {"in_features": 64, "out_features": 24, **config})


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode_mean_tokens": True}, Pooling.MEAN),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, Pooling.MEAN),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, Pooling.CLS),
        ({"pooling_mode_max_tokens": True}, Pooling.MAX),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, Pooling.MEAN_SQRT_LEN),
        ({"pooling_mode_lasttoken": True}, Pooling.LAST),
        *(({"pooling_mode": pooling.value}, pooling) for pooling in Pooling),
        ({"pooling_mode": ["cls"]}, Pooling.CLS),
        ({"pooling_mode": "mean", "include_prompt": True}, Pooling.MEAN),
        ({"pooling_mode_mean_tokens": False}, Pooling.MEAN),  # as sentence-transformers reads it
        ({}, Pooling.MEAN),
    ],
)
def test_the_pooling_is_read_in_old_and_new_words(
    config: dict[str, Any], pooling: Pooling, folder: Path
) -> None:
    write(folder, POOLING, config)
    assert found(folder).pooling is pooling


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"pooling_mode": "weightedmean"}, "weightedmean"),
        ({"pooling_mode_weightedmean_tokens": True}, "weightedmean"),
        (
            {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True},
            "mean and cls",
        ),
        ({"pooling_mode": ["mean", "max"]}, "mean and max"),
        ({"pooling_mode": []}, "nothing"),
        ({"pooling_mode": 5}, "5"),
        ({"pooling_mode_of_tomorrow": True}, "pooling_mode_of_tomorrow"),
    ],
)
def test_another_pooling_is_refused_by_its_name(
    config: dict[str, Any], name: str, folder: Path
) -> None:
    write(folder, POOLING, config)
    refused(folder, f"pooling by {name} is not supported; mean, cls, max, ")


def test_the_pooling_is_read_where_the_list_says_that_it_is(folder: Path) -> None:
    listed = modules("Transformer", "Pooling")
    write(folder, MODULES, [listed[0], {**listed[1], "path": "pooled"}])
    write(folder, "pooled/config.json", {"pooling_mode": "max"})
    assert found(folder).pooling is Pooling.MAX


@pytest.mark.parametrize("kind", ["LayerNorm", "WordWeights", "LSTM", "Router"])
def test_a_module_that_students_could_not_carry_on_is_refused_by_its_name(
    kind: str, folder: Path
) -> None:
    write(folder, MODULES, modules("Transformer", "Pooling", kind))
    refused(folder, f"the module {kind} is not supported; supported are Transformer, Pooling")


@pytest.mark.parametrize(
    "kinds",
    [
        ("Transformer", "Normalize"),
        ("Transformer", "Dense", "Pooling"),
        ("Transformer", "Pooling", "Pooling"),
        ("StaticEmbedding", "Pooling"),
    ],
)
def test_one_pooling_follows_a_transformer(kinds: tuple[str, ...], folder: Path) -> None:
    write(folder, MODULES, modules(*kinds))
    refused(folder, "exactly one Pooling must follow")


def test_modules_stand_in_the_order_of_their_numbers_and_dropout_does_nothing(
    folder: Path,
) -> None:
    dense(folder)
    write(
        folder,
        MODULES,
        modules("Transformer", "Pooling", "Dense", "Dropout", "Normalize")[::-1],
    )
    assert read_sentence_folder(folder).steps == (
        Dense("2_Dense", 64, 24, bias=True, activation="Tanh", residual=False),
        Normalize(),
    )


@pytest.mark.parametrize(
    "package", ["sentence_transformers.models", "sentence_transformers.base.modules"]
)
@pytest.mark.parametrize("normalize", [True, False])
def test_modules_are_known_by_the_last_part_of_their_type(
    normalize: bool, package: str, folder: Path
) -> None:
    kinds = ["Transformer", "Pooling", *(["Normalize"] if normalize else [])]
    write(folder, MODULES, modules(*kinds, package=package))
    assert found(folder).normalize is normalize


def test_a_folder_without_such_files_is_no_embedder(folder: Path) -> None:
    (folder / MODULES).unlink()
    (folder / POOLING).unlink()
    assert read(folder) is None
    assert read_sentence_folder(folder) == SentenceFolder(str(folder))


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
    refused(folder, f"{POOLING}, which says how tokens are pooled, is missing")


def test_a_dense_module_gives_the_vectors_their_width(folder: Path) -> None:
    dense(folder, activation_function="torch.nn.modules.linear.Identity")
    assert (found(folder).width, found(folder).projected) == (24, True)
    dense(folder, out_features=64)
    assert (found(folder).width, found(folder).projected) == (64, True)


def test_several_dense_modules_follow_each_other(folder: Path) -> None:
    write(folder, MODULES, modules("Transformer", "Pooling", "Dense", "Dense"))
    write(folder, "2_Dense/config.json", {"in_features": 64, "out_features": 24})
    write(folder, "3_Dense/config.json", {"in_features": 24, "out_features": 96})
    embedding = found(folder)
    assert (embedding.width, embedding.projected, embedding.normalize) == (96, True, False)
    write(folder, "3_Dense/config.json", {"in_features": 25, "out_features": 96})
    refused(folder, "3_Dense: in_features is 25; the vectors are 24 wide")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"activation_function": "os.system"}, "the activation 'os.system' is not supported"),
        ({"activation_function": "Tanh"}, "the activation 'Tanh' is not supported"),
        ({"activation_function": "torch.nn.Linear"}, "'torch.nn.Linear' is not supported"),
        ({"activation_function": None}, "the activation None is not supported"),
        ({"module_input_name": "token_embeddings"}, "module_input_name 'token_embeddings'"),
        ({"module_output_name": "other"}, "module_output_name 'other'"),
        ({"out_features": "24"}, "must be widths"),
        ({"in_features": 0}, "must be widths"),
    ],
)
def test_a_dense_module_that_does_something_else_is_refused(
    config: dict[str, Any], message: str, folder: Path
) -> None:
    dense(folder, **config)
    refused(folder, message)


@pytest.mark.parametrize(
    ("asked", "longest"), [(100, 100), (128, 128), (512, 128), (None, 128), (3, 3)]
)
def test_texts_are_never_longer_than_the_positions(
    asked: int | None, longest: int, folder: Path
) -> None:
    write(folder, TRANSFORMER, {"max_seq_length": asked, "do_lower_case": True})
    assert (found(folder).max_seq_length, found(folder).do_lower_case) == (longest, True)


@pytest.mark.parametrize("file", [TRANSFORMER, "sentence_roberta_config.json"])
def test_the_longest_text_is_read_in_the_file_of_any_time(file: str, folder: Path) -> None:
    write(folder, file, {"max_seq_length": 77})
    assert found(folder).max_seq_length == 77


@pytest.mark.parametrize(
    ("beside", "tokenizers", "longest"),
    [(None, 90, 90), (70, 90, 70), (100, 90, 100), (None, 512, 128), (None, int(1e30), 128)],
)
def test_the_tokenizer_says_how_long_texts_are_where_no_other_file_does(
    beside: int | None, tokenizers: int, longest: int, folder: Path
) -> None:
    write(folder, TRANSFORMER, {"max_seq_length": beside})
    embedding = read_sentence_folder(folder).embedding(64, 128, tokenizers)
    assert embedding is not None
    assert embedding.max_seq_length == longest


def test_what_users_rely_on_is_read(folder: Path) -> None:
    prompts = {"query": "Represent this: ", "passage": ""}
    users = {"prompts": prompts, "default_prompt_name": "query", "similarity_fn_name": "dot"}
    write(folder, USERS, {"__version__": {"pytorch": "2"}, **users})
    assert (found(folder).prompts, found(folder).default_prompt_name) == (prompts, "query")
    assert found(folder).similarity == "dot"
    assert read_sentence_folder(folder).prompt == "Represent this: "
    write(folder, USERS, {"prompts": None, "default_prompt_name": None, "similarity_fn_name": None})
    assert (found(folder).prompts, found(folder).default_prompt_name) == ({}, None)
    assert found(folder).similarity == "cosine"


def test_prompts_left_out_of_the_pooling_are_refused_but_only_where_there_are_prompts(
    folder: Path,
) -> None:
    write(folder, POOLING, {"pooling_mode_mean_tokens": True, "include_prompt": False})
    assert read(folder)
    write(folder, USERS, {"prompts": {"query": "Find: "}})
    refused(folder, "include_prompt is false")
    assert read_sentence_folder(folder).prompt == ""
    write(folder, USERS, {"prompts": {"query": "Find: "}, "default_prompt_name": "query"})
    with pytest.raises(InvalidInput, match="include_prompt is false"):
        _ = read_sentence_folder(folder).prompt


def test_a_default_prompt_that_is_missing_is_refused(folder: Path) -> None:
    write(folder, USERS, {"prompts": {"query": "Find: "}, "default_prompt_name": "passage"})
    refused(folder, "no prompt named 'passage', which is the default")


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


@pytest.mark.parametrize("content", [{"a": 1}, 5, ["x"], [{}], [[1]], "Pooling"])
def test_a_list_of_modules_that_is_none_is_refused(content: object, folder: Path) -> None:
    write(folder, MODULES, content)
    refused(folder, r"modules\.json is no list of modules")


@pytest.mark.parametrize("path", ["../other", "1_Pooling/../../other"])
def test_a_module_outside_of_the_folder_is_refused(path: str, folder: Path) -> None:
    listed = modules("Transformer", "Pooling")
    write(folder, MODULES, [listed[0], {**listed[1], "path": path}])
    refused(folder, "leads out of the folder")


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        (TRANSFORMER, {"max_seq_length": 0.5}, "max_seq_length 0.5"),
        (TRANSFORMER, {"max_seq_length": -3}, "max_seq_length -3"),
        (TRANSFORMER, {"max_seq_length": 2}, "max_seq_length 2"),
        (TRANSFORMER, {"max_seq_length": True}, "max_seq_length True"),
        (TRANSFORMER, {"max_seq_length": "long"}, "max_seq_length 'long'"),
        (USERS, {"prompts": ["query"]}, "unusable .*prompts"),
        (USERS, {"prompts": {"query": 5}}, "unusable .*prompts"),
        (USERS, {"prompts": {"query": "x" * 10_001}}, "unusable .*prompts"),
        (USERS, {"similarity_fn_name": "exec('x')"}, "unusable .*similarity"),
        (USERS, {"default_prompt_name": 5}, "unusable .*default_prompt_name"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    file: str, content: object, reason: str, folder: Path
) -> None:
    write(folder, file, content)
    refused(folder, reason)


def test_a_teacher_carries_its_embedding_and_reads_no_more_than_it_says(tmp_path: Path) -> None:
    folder = write_embedder(tmp_path / "embedder", pooling="cls")
    teacher = load_teacher(str(folder))
    assert teacher.embedding == SentenceEmbedding(
        width=64, pooling=Pooling.CLS, normalize=True, max_seq_length=100
    )
    assert teacher.longest == 100
    edit_json(folder / MODULES, lambda found: [*found, *modules("Router")])
    with pytest.raises(UnsupportedTeacher, match="Router"):
        load_teacher(str(folder))


def test_a_static_table_is_no_teacher(folder: Path) -> None:
    write(folder, MODULES, modules("StaticEmbedding"))
    with pytest.raises(UnsupportedTeacher, match="StaticEmbedding.*name a Transformer"):
        load_teacher(str(folder))


def test_an_encoder_in_a_folder_of_its_own_is_found_by_all_who_ask(tmp_path: Path) -> None:
    plain = write_embedder(tmp_path / "plain", pooling="max")
    old = tmp_path / "old"
    shutil.copytree(plain, old / "0_Transformer")
    for name in (MODULES, "1_Pooling"):
        shutil.move(old / "0_Transformer" / name, old / name)
    edit_json(old / MODULES, lambda found: [{**found[0], "path": "0_Transformer"}, *found[1:]])
    teacher = load_teacher(str(old))
    wanted = load_teacher(str(plain))
    assert (teacher.sha256, teacher.embedding) == (wanted.sha256, wanted.embedding)
    assert load_folder(old).model.config.hidden_size == 64
    assert load_folder(old).sentence.pooling is Pooling.MAX
    assert read_facts(old).params == read_facts(plain).params
    before = read_facts(old).sha256
    edit_json(old / "0_Transformer" / TRANSFORMER, lambda found: {**found, "max_seq_length": 9})
    assert read_facts(old).sha256 != before
