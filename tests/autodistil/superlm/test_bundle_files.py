"""Files that no bundle may hold, and tokenizers that it may not."""

import os
import shutil
from pathlib import Path

import pytest

from autodistil.superlm.bundle import CANDIDATES, SPEC, TOKENIZER, WEIGHTS, SuperLM
from tests.autodistil.superlm.bundle_edits import edit_spec, refused
from tests.factories import edit_json, rehash


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "modeling.py", "tokenizer/x.json", ".hidden"]
)
def test_an_extra_file_is_refused(stock_copy: SuperLM, name: str) -> None:
    (stock_copy.folder / name).write_bytes(b"{}")
    refused(stock_copy.folder, f"{name} is not listed")
    edit_spec(
        stock_copy.folder,
        lambda spec: spec["files"].update({name: {"sha256": "0" * 64, "size_bytes": 2}}),
    )
    refused(stock_copy.folder, f"lists files no bundle has: {name}")


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", SPEC, "tokenizer/../x"])
def test_a_listed_path_outside_the_bundle_is_refused(stock_copy: SuperLM, name: str) -> None:
    edit_spec(
        stock_copy.folder,
        lambda spec: spec["files"].update({name: {"sha256": "0" * 64, "size_bytes": 2}}),
    )
    refused(stock_copy.folder, "lists files no bundle has")


@pytest.mark.parametrize("name", [WEIGHTS, CANDIDATES, "tokenizer/tokenizer.json"])
def test_a_missing_file_is_refused(stock_copy: SuperLM, name: str) -> None:
    (stock_copy.folder / name).unlink()
    refused(stock_copy.folder, f"{name} is missing")
    edit_spec(stock_copy.folder, lambda spec: spec["files"].pop(name))
    refused(stock_copy.folder, f"does not list {name}")


@pytest.mark.parametrize(
    "name", [SPEC, WEIGHTS, CANDIDATES, "tokenizer/tokenizer.json", "tokenizer"]
)
def test_a_link_is_refused_even_to_the_right_content(
    stock_copy: SuperLM, tmp_path: Path, name: str
) -> None:
    shutil.move(stock_copy.folder / name, tmp_path / "elsewhere")
    (stock_copy.folder / name).symlink_to(tmp_path / "elsewhere")
    refused(stock_copy.folder, f"{name} is (missing, or is not a plain|a link)")


def test_a_special_file_is_refused(stock_copy: SuperLM) -> None:
    os.mkfifo(stock_copy.folder / "pipe")
    refused(stock_copy.folder, "pipe is a link or a special file")


def test_a_folder_in_place_of_a_file_is_refused(stock_copy: SuperLM) -> None:
    for name in (CANDIDATES, SPEC):
        (stock_copy.folder / name).unlink()
        (stock_copy.folder / name).mkdir()
        refused(stock_copy.folder, f"{name} is missing")


def test_altered_bytes_are_refused_by_their_hash(stock_copy: SuperLM) -> None:
    content = bytearray(stock_copy.weights_path.read_bytes())
    content[-7] ^= 1
    stock_copy.weights_path.write_bytes(content)
    refused(stock_copy.folder, f"{WEIGHTS} was altered: its sha256 differs")


def test_bytes_put_behind_a_file_are_refused(stock_copy: SuperLM) -> None:
    with (stock_copy.folder / CANDIDATES).open("a") as file:
        file.write("\n")
    refused(stock_copy.folder, f"{CANDIDATES} has .* bytes, {SPEC} says")


@pytest.mark.parametrize("name", ["tokenizer_config.json", "tokenizer.json"])
def test_a_tokenizer_that_asks_for_code_is_refused(stock_copy: SuperLM, name: str) -> None:
    edit_json(
        stock_copy.tokenizer_path / name,
        lambda content: {**content, "auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]}},
    )
    rehash(stock_copy.folder)
    refused(stock_copy.folder, rf"{name} asks to run code \(auto_map\)")


@pytest.mark.parametrize("content", ["", "{", "\xff", "[" * 100_000])
def test_a_tokenizer_file_that_is_no_json_is_refused(stock_copy: SuperLM, content: str) -> None:
    path = stock_copy.tokenizer_path / "tokenizer_config.json"
    path.write_bytes(content.encode("latin-1"))
    rehash(stock_copy.folder)
    refused(stock_copy.folder, f"{TOKENIZER}/tokenizer_config.json is not JSON")
