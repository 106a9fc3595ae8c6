import hashlib
import json
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer, BertModel

from autodistil.errors import ParityFailure
from autodistil.evaluation.candidates import Candidate
from autodistil.extraction.export import PARITY_TOLERANCE, check_parity, export_transformers, pack
from autodistil.models.teacher import Teacher
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.slicing import load_elastic, slice_student
from tests.autodistil.extraction.loading import run_elsewhere
from tests.factories import random_batch

WEIGHTS = "model.safetensors"
NORM = "encoder.layer.1.output.LayerNorm.weight"


def export(superlm: SuperLM, folder: Path, index: int = 0) -> Candidate:
    candidate = superlm.candidates[index]
    export_transformers(superlm, candidate, slice_student(superlm, candidate.architecture), folder)
    return candidate


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


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
    files = export_transformers(free_superlm, candidate, tensors, tmp_path / "new" / "folder")
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


def test_a_student_of_a_sentence_embedder_says_how_to_pool(
    stock_superlm: SuperLM, tmp_path: Path
) -> None:
    spec = stock_superlm.spec.model_copy(update={"pooling": "mean"})
    candidate = export(replace(stock_superlm, spec=spec), tmp_path / "mean")
    modules = json.loads((tmp_path / "mean" / "modules.json").read_text())
    assert [module["path"] for module in modules] == ["", "1_Pooling", "2_Normalize"]
    pooling = json.loads((tmp_path / "mean" / "1_Pooling" / "config.json").read_text())
    assert pooling["word_embedding_dimension"] == candidate.hidden
    assert pooling["pooling_mode_mean_tokens"] is True
    export(stock_superlm, tmp_path / "other")
    assert not (tmp_path / "other" / "modules.json").exists()


def test_a_free_student_can_be_saved_and_fine_tuned(free_superlm: SuperLM, tmp_path: Path) -> None:
    export(free_superlm, tmp_path)
    from autodistil.models.student_model import StudentModel

    model = StudentModel.from_pretrained(tmp_path)
    batch = random_batch(free_superlm.spec.encoder.vocab_size)
    model(batch.input_ids, batch.attention_mask).pooler_output.square().sum().backward()
    unused = [name for name, p in model.named_parameters() if p.grad is None]
    assert unused == []
    model.save_pretrained(tmp_path / "again")
    again = StudentModel.from_pretrained(tmp_path / "again").state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in model.state_dict().items())


# --- parity ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["stock", "free"])
def test_every_student_has_parity(
    kind: str, stock_superlm: SuperLM, free_superlm: SuperLM, tmp_path: Path
) -> None:
    superlm = stock_superlm if kind == "stock" else free_superlm
    reference = load_elastic(superlm)
    for index in range(len(superlm.candidates)):
        folder = tmp_path / str(index)
        architecture = export(superlm, folder, index).architecture
        parity = check_parity(superlm, architecture, folder, reference)
        assert parity.max_abs_difference <= parity.tolerance == PARITY_TOLERANCE == 1e-5
        assert 0 < parity.tokens < 4 * 64


@pytest.mark.parametrize("kind", ["stock", "free"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[NORM].mul_(1.001), "differs by"),
        (lambda t: t["embeddings.position_embeddings.weight"][3, 0].add_(0.1), "differs by"),
        (lambda t: t[NORM].fill_(float("nan")), "differs by nan"),
        (lambda t: t.pop(NORM), f"missing_keys.*{NORM}"),
        (lambda t: t.update(extra=torch.zeros(1)), "unexpected_keys.*extra"),
        (lambda t: t.update({NORM: t[NORM][:-1].clone()}), "L2-H"),
    ],
)
def test_other_weights_fail_the_parity_check(
    kind: str,
    change: Callable[[dict[str, torch.Tensor]], object],
    message: str,
    stock_superlm: SuperLM,
    free_superlm: SuperLM,
    tmp_path: Path,
) -> None:
    superlm = stock_superlm if kind == "stock" else free_superlm
    architecture = export(superlm, tmp_path).architecture
    edit_weights(tmp_path, change)
    with pytest.raises(ParityFailure, match=message):
        check_parity(superlm, architecture, tmp_path, load_elastic(superlm))


@pytest.mark.parametrize("damage", ["missing", "truncated", "bad config"])
def test_a_folder_that_does_not_load_fails_the_parity_check(
    damage: str, stock_superlm: SuperLM, tmp_path: Path
) -> None:
    architecture = export(stock_superlm, tmp_path).architecture
    if damage == "missing":
        (tmp_path / WEIGHTS).unlink()
    elif damage == "truncated":
        (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:1000])
    else:
        (tmp_path / "config.json").write_text("{")
    with pytest.raises(ParityFailure, match="does not load"):
        check_parity(stock_superlm, architecture, tmp_path, load_elastic(stock_superlm))


def test_the_student_of_another_architecture_fails_the_parity_check(
    stock_superlm: SuperLM, tmp_path: Path
) -> None:
    exported = export(stock_superlm, tmp_path).architecture
    deeper = exported.model_copy(update={"layers": 3})
    with pytest.raises(ParityFailure):
        check_parity(stock_superlm, deeper, tmp_path, load_elastic(stock_superlm))


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
