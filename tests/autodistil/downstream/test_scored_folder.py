from pathlib import Path

import numpy as np
import pytest

from autodistil.downstream.scored_folder import describe_model
from autodistil.downstream.scores import Role
from autodistil.downstream.static_table import StaticTable
from autodistil.errors import InvalidInput
from autodistil.models.model_folder import read_facts
from autodistil.superlm.bundle import SuperLM
from tests.autodistil.downstream.sentence_folders import add_modules
from tests.exports import export
from tests.factories import build_tokenizer, edit_json, write_teacher


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


def test_the_map_that_follows_a_model_counts_and_changes_its_hash(tmp_path: Path) -> None:
    write_teacher(tmp_path)
    plain = describe_model("m", tmp_path, Role.STUDENT)
    assert plain.sha256 == read_facts(tmp_path).sha256
    add_modules(tmp_path, np.eye(64, dtype=np.float32))
    mapped, facts_of_mapped = describe_model("m", tmp_path, Role.STUDENT), read_facts(tmp_path)
    add_modules(tmp_path, 2 * np.eye(64, dtype=np.float32))
    other = describe_model("m", tmp_path, Role.STUDENT)
    assert len({plain.sha256, mapped.sha256, other.sha256}) == 3
    assert mapped.sha256 == facts_of_mapped.sha256
    assert plain.params is not None
    assert (mapped.macs, mapped.params) == (plain.macs, plain.params + 64 * 64)


def test_a_static_table_has_values_and_no_macs(tmp_path: Path) -> None:
    tokenizer = build_tokenizer(tmp_path / "tokenizer")
    folder, hashes = tmp_path / "table", set()
    for scale in (1, 2):
        table = np.full((len(tokenizer), 8), scale, np.float32)
        StaticTable(table, tokenizer.backend_tokenizer).save(folder)
        model = describe_model("m", folder, Role.BASELINE)
        assert (model.macs, model.params) == (0, 8 * len(tokenizer))
        hashes.add(model.sha256)
    assert len(hashes) == 2


def test_an_empty_folder_holds_no_model(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no model that transformers can load"):
        describe_model("m", tmp_path, Role.STUDENT)
