from pathlib import Path

import numpy as np
import pytest

from autodistil.downstream.embedder import open_embedder
from autodistil.downstream.static_table import StaticTable
from autodistil.errors import InvalidInput
from tests.factories import build_tokenizer


def make_table(folder: Path) -> StaticTable:
    tokenizer = build_tokenizer(folder)
    rows = np.random.default_rng(0).normal(size=(len(tokenizer), 6))
    return StaticTable(rows, tokenizer.backend_tokenizer)


def test_a_vector_is_the_mean_of_the_tokens_rows(tmp_path: Path) -> None:
    table = make_table(tmp_path)
    ids = build_tokenizer(tmp_path)("ba be zo", add_special_tokens=False)["input_ids"]
    both = table.encode(["ba be zo", "ba"])
    assert np.allclose(both[0], table.table[ids].mean(axis=0), atol=1e-6)
    assert np.allclose(both[1], table.table[ids[0]], atol=1e-6)


def test_a_text_without_tokens_is_zeros_wherever_it_stands(tmp_path: Path) -> None:
    vectors = make_table(tmp_path).encode(["", "ba", "", "be", ""])
    assert [bool(row.any()) for row in vectors] == [False, True, False, True, False]


def test_a_saved_table_is_an_embedder_of_unit_vectors(tmp_path: Path) -> None:
    table = make_table(tmp_path / "tokenizer")
    table.save(tmp_path / "table")
    wanted = table.encode(["ba be zo", "zo"])
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    found = open_embedder(tmp_path / "table").encode(["ba be zo", "zo"])
    assert np.allclose(found, wanted, atol=2e-3)  # half precision on disk


def test_a_table_with_too_few_rows_is_refused(tmp_path: Path) -> None:
    tokenizer = build_tokenizer(tmp_path)
    with pytest.raises(InvalidInput, match="has 3 rows for"):
        StaticTable(np.zeros((3, 6)), tokenizer.backend_tokenizer)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_damaged_table_is_refused(name: str, tmp_path: Path) -> None:
    make_table(tmp_path / "tokenizer").save(tmp_path / "table")
    (tmp_path / "table" / name).write_text("x")
    with pytest.raises(InvalidInput, match="holds no static table"):
        open_embedder(tmp_path / "table")
