import hashlib
import json
import os
import tarfile
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoTokenizer, BertModel

from autodistil.extraction.export import export_transformers, pack
from autodistil.extraction.parity import PARITY_TOLERANCE
from autodistil.models.teacher import Teacher
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.slicing import load_elastic, slice_student
from tests.autodistil.extraction.loading import run_elsewhere
from tests.exports import export
from tests.factories import random_batch

WEIGHTS = "model.safetensors"


def test_a_stock_student_is_a_plain_bert(stock_superlm: SuperLM, tmp_path: Path) -> None:
    for index, candidate in enumerate(stock_superlm.candidates):
        folder = tmp_path / str(index)
        export(stock_superlm, folder, index)
        model, info = AutoModel.from_pretrained(folder, output_loading_info=True)
        assert not any(info.values())
        assert type(model) is BertModel
        assert model.config.num_hidden_layers == candidate.layers
        assert not list(folder.rglob("*.py"))
        assert "auto_map" not in json.loads((folder / "config.json").read_text())


@pytest.mark.parametrize("kind", ["stock", "free"])
def test_a_student_loads_in_a_process_that_knows_nothing_of_us(
    kind: str, stock_superlm: SuperLM, free_superlm: SuperLM, tmp_path: Path
) -> None:
    superlm = stock_superlm if kind == "stock" else free_superlm
    candidate = export(superlm, tmp_path / "student", 5)
    batch = random_batch(superlm.spec.encoder.vocab_size, tokens=20)
    name, found = run_elsewhere(tmp_path / "student", batch, trust=kind == "free")
    assert name == ("BertModel" if kind == "stock" else "StudentModel")
    given = (batch.input_ids, batch.attention_mask)
    expected = load_elastic(superlm)(*given, candidate.architecture).hidden
    difference = (found - expected)[batch.attention_mask.bool()].abs().max()
    assert difference <= PARITY_TOLERANCE


def test_a_free_student_is_not_loaded_without_trust(free_superlm: SuperLM, tmp_path: Path) -> None:
    export(free_superlm, tmp_path)
    with pytest.raises(ValueError, match="custom code"):
        AutoModel.from_pretrained(tmp_path, trust_remote_code=False)


@pytest.mark.parametrize("kind", ["stock", "free"])
def test_the_tokenizer_is_the_teachers(
    kind: str, stock_superlm: SuperLM, free_superlm: SuperLM, teacher: Teacher, tmp_path: Path
) -> None:
    export(stock_superlm if kind == "stock" else free_superlm, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path, trust_remote_code=False)
    texts = ["Ba be bi bo bu.", "Dans, unknown wörds!", ""]
    assert tokenizer(texts)["input_ids"] == teacher.tokenizer(texts)["input_ids"]
    assert tokenizer.pad_token_id == teacher.tokenizer.pad_token_id
    assert tokenizer.get_vocab() == teacher.tokenizer.get_vocab()


def test_the_list_of_files_is_true(free_superlm: SuperLM, tmp_path: Path) -> None:
    candidate = free_superlm.candidates[0]
    tensors = slice_student(free_superlm, candidate.architecture)
    files = export_transformers(free_superlm, candidate, tensors, None, tmp_path / "new" / "folder")
    found = {
        path.relative_to(tmp_path / "new" / "folder").as_posix(): path.read_bytes()
        for path in (tmp_path / "new" / "folder").rglob("*")
    }
    assert set(files) == set(found)
    assert {WEIGHTS, "config.json", "README.md", "tokenizer.json", "modeling_student.py"} <= set(
        files
    )
    for name, entry in files.items():
        assert entry.size_bytes == len(found[name])
        assert entry.sha256 == hashlib.sha256(found[name]).hexdigest()


def test_the_model_card_says_what_it_is(free_superlm: SuperLM, tmp_path: Path) -> None:
    candidate = export(free_superlm, tmp_path)
    card = (tmp_path / "README.md").read_text()
    for part in (
        candidate.architecture.name,
        "free@1",
        "tiny-teacher",
        f"{candidate.params:,}",
        f"{candidate.macs:,}",
        f"{candidate.paper_macs:,}",
        "trust_remote_code=True",
        free_superlm.sha256,
    ):
        assert part in card


def test_a_student_whose_teacher_is_no_embedder_has_no_sentence_modules(
    stock_superlm: SuperLM, tmp_path: Path
) -> None:
    export(stock_superlm, tmp_path)
    assert not (tmp_path / "modules.json").exists()
    assert not any(path.is_dir() for path in tmp_path.iterdir())


def test_a_free_student_can_be_saved_and_fine_tuned(free_superlm: SuperLM, tmp_path: Path) -> None:
    export(free_superlm, tmp_path)
    from autodistil.models.students.bert import StudentModel

    model = StudentModel.from_pretrained(tmp_path)
    batch = random_batch(free_superlm.spec.encoder.vocab_size)
    model(batch.input_ids, batch.attention_mask).pooler_output.square().sum().backward()
    unused = [name for name, p in model.named_parameters() if p.grad is None]
    assert unused == []
    model.save_pretrained(tmp_path / "again")
    again = StudentModel.from_pretrained(tmp_path / "again").state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in model.state_dict().items())


# --- archives --------------------------------------------------------------------------------


def test_an_archive_has_the_same_bytes_whenever_it_is_made(
    free_superlm: SuperLM, tmp_path: Path
) -> None:
    archives = []
    for name, time in (("first", 1_000_000_000), ("second", 1_500_000_000)):
        folder = tmp_path / name
        export(free_superlm, folder)
        for path in folder.rglob("*"):
            os.utime(path, (time, time))
            path.chmod(0o600 if name == "first" else 0o755)
        pack(folder, tmp_path / f"{name}.tar.gz")
        archives.append((tmp_path / f"{name}.tar.gz").read_bytes())
    assert archives[0] == archives[1]
    pack(tmp_path / "first", tmp_path / "again.tar.gz")
    assert (tmp_path / "again.tar.gz").read_bytes() == archives[0]


def test_an_archive_holds_every_file_and_nothing_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "student" / "sub").mkdir(parents=True)
    (tmp_path / "student" / "b").write_bytes(b"bb")
    (tmp_path / "student" / "sub" / "a").write_bytes(bytes(10_000))
    pack(tmp_path / "student", tmp_path / "x.tar.gz")
    header = (tmp_path / "x.tar.gz").read_bytes()[:10]
    assert (header[3], header[4:8]) == (0, bytes(4))  # neither a file name nor a time
    with tarfile.open(tmp_path / "x.tar.gz") as tar:
        members = tar.getmembers()
        assert [member.name for member in members] == ["b", "sub/a"]
        for member in members:
            assert (member.mtime, member.uid, member.gid, member.mode) == (0, 0, 0, 0o644)
            assert (member.uname, member.gname) == ("", "")
        tar.extractall(tmp_path / "out", filter="data")
    assert (tmp_path / "out" / "sub" / "a").read_bytes() == bytes(10_000)
