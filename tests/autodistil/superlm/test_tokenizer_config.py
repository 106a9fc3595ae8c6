"""A student's tokenizer_config.json, in words that transformers 4 understands as well as 5."""

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from autodistil.superlm.tokenizer_config import CONFIG_FILE, write_for_all
from tests.tokenizers import KINDS, make_tokenizer

CLASSES_OF_4 = {
    "wordpiece": "BertTokenizer",
    "bpe": "RobertaTokenizer",
    "unigram": "XLMRobertaTokenizer",
    "bare": "PreTrainedTokenizerFast",
}
"""Version 4 knows these, and those with `Fast` behind them."""


@pytest.mark.parametrize("token_types", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_it_says_the_same_without_the_words_of_version_5(
    kind: str, token_types: bool, tmp_path: Path
) -> None:
    tokenizer = make_tokenizer(kind)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<one>", "<two>"]})
    tokenizer.save_pretrained(tmp_path)
    wanted = AutoTokenizer.from_pretrained(tmp_path, trust_remote_code=False)
    wanted.save_pretrained(tmp_path)
    write_for_all(tmp_path, 512, token_types)
    config = json.loads((tmp_path / CONFIG_FILE).read_text())
    assert config["tokenizer_class"] == CLASSES_OF_4[kind]
    assert "extra_special_tokens" not in config
    assert config["additional_special_tokens"] == ["<one>", "<two>"]
    assert not {"backend", "is_local", "local_files_only"} & config.keys()
    found = AutoTokenizer.from_pretrained(tmp_path, trust_remote_code=False)
    text = "Ba be<one> zo."
    assert found(text)["input_ids"] == wanted(text)["input_ids"]
    assert found.model_max_length == wanted.model_max_length == 128
    assert (found.pad_token, set(found.all_special_tokens)) == (
        wanted.pad_token,
        set(wanted.all_special_tokens),
    )
    if token_types:
        assert found(text)["token_type_ids"] == [0] * len(found(text)["input_ids"])
        second = found("Ba", "zo")
        assert len(second["token_type_ids"]) == len(second["input_ids"])
    else:
        assert found(text).keys() == wanted(text).keys()


def test_a_folder_without_the_file_is_left_alone(tmp_path: Path) -> None:
    write_for_all(tmp_path, 512, token_types=True)
    assert not list(tmp_path.iterdir())


def test_a_file_without_a_class_gets_one_that_every_version_knows(tmp_path: Path) -> None:
    (tmp_path / CONFIG_FILE).write_text('{"pad_token": "é"}')
    write_for_all(tmp_path, 512, token_types=False)
    content = (tmp_path / CONFIG_FILE).read_text(encoding="utf-8")
    assert json.loads(content) == {
        "model_max_length": 512,
        "pad_token": "é",
        "tokenizer_class": "PreTrainedTokenizerFast",
    }


@pytest.mark.parametrize(("own", "longest"), [(128, 64), (int(1e30), 64), (64, 64), (50, 50)])
def test_no_text_is_longer_than_the_positions(own: int, longest: int, tmp_path: Path) -> None:
    make_tokenizer("wordpiece", own).save_pretrained(tmp_path)
    write_for_all(tmp_path, 64, token_types=True)
    found = AutoTokenizer.from_pretrained(tmp_path, trust_remote_code=False)
    assert len(found("ba " * 300, truncation=True)["input_ids"]) == longest
