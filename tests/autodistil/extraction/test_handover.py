import json
from pathlib import Path

import pytest
from transformers import AutoModel

from autodistil.errors import InvalidInput, ParityFailure
from autodistil.extraction.handover import PHASES, extract_student
from autodistil.extraction.receipt import Receipt
from autodistil.search.budget import Budget
from autodistil.search.choice import search
from autodistil.search.entry import Entry
from autodistil.spaces.spec import FileEntry
from autodistil.superlm.bundle import SuperLM


def test_a_budget_becomes_a_checked_student_with_a_receipt(
    stock_superlm: SuperLM, free_superlm: SuperLM, tmp_path: Path
) -> None:
    entries = [
        Entry(superlm.spec.reference, candidate, superlm.spec.teacher_cost)
        for superlm in (stock_superlm, free_superlm)
        for candidate in superlm.candidates
    ]
    budget = Budget(macs="25%", params="40K")
    choice = search(entries, budget)
    superlm = {s.spec.reference: s for s in (stock_superlm, free_superlm)}[choice.best.superlm]
    phases: list[str] = []
    receipt = extract_student(
        superlm,
        choice.best.candidate,
        tmp_path / "s",
        budget,
        choice.limits,
        on_phase=phases.append,
    )
    assert tuple(phases) == PHASES
    assert receipt.architecture == choice.best.candidate.architecture
    assert receipt.cost.params <= 40_000
    assert receipt.cost.macs * 4 <= superlm.spec.teacher_cost.macs
    assert receipt.budget == {"macs": "25%", "params": 40_000}
    assert receipt.limits == choice.limits
    assert receipt.superlm_sha256 == superlm.sha256
    assert receipt.parity.max_abs_difference <= 1e-5
    assert receipt.sentence_vectors is receipt.parity.vectors_max_abs_difference is None
    assert receipt.files[("model.safetensors")].size_bytes == receipt.cost.size_bytes
    for name, entry in receipt.files.items():
        assert FileEntry.of(tmp_path / "s" / name) == entry
    assert Receipt.model_validate_json(receipt.model_dump_json()) == receipt
    assert {"torch", "transformers", "safetensors", "autodistil", "python"} == set(receipt.versions)


def test_an_architecture_by_name_has_a_receipt_without_budget(
    free_superlm: SuperLM, tmp_path: Path
) -> None:
    candidate = free_superlm.candidates[3]
    receipt = extract_student(free_superlm, candidate, tmp_path)
    assert (receipt.budget, receipt.limits) == (None, {})
    assert (receipt.stock, receipt.teacher) == (False, "tiny-teacher")
    assert receipt.relation_loss == candidate.relation_loss
    assert json.loads(receipt.model_dump_json())["architecture"]["heads"] == candidate.heads


def test_an_extraction_is_the_same_twice(stock_superlm: SuperLM, tmp_path: Path) -> None:
    candidate = stock_superlm.candidates[0]
    first, second = (extract_student(stock_superlm, candidate, tmp_path / n) for n in ("a", "b"))
    assert first == second


@pytest.mark.parametrize("phase", PHASES)
def test_a_phase_can_stop_the_extraction(
    phase: str, stock_superlm: SuperLM, tmp_path: Path
) -> None:
    class Cancelled(Exception):
        pass

    seen: list[str] = []

    def on_phase(name: str) -> None:
        seen.append(name)
        if name == phase:
            raise Cancelled

    with pytest.raises(Cancelled):
        extract_student(
            stock_superlm, stock_superlm.candidates[0], tmp_path / "s", on_phase=on_phase
        )
    assert seen == list(PHASES[: PHASES.index(phase) + 1])
    assert (tmp_path / "s" / "model.safetensors").exists() == (phase == "verifying")


def test_a_candidate_of_another_superlm_is_refused(
    stock_superlm: SuperLM, free_superlm: SuperLM, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match="is not a student of stock@1"):
        extract_student(stock_superlm, free_superlm.candidates[0], tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_student_spoilt_before_the_check_is_not_handed_over(
    stock_superlm: SuperLM, tmp_path: Path
) -> None:
    def on_phase(name: str) -> None:
        if name == "verifying":
            path = tmp_path / "s" / "model.safetensors"
            content = bytearray(path.read_bytes())
            content[-2:] = b"\x80\x40"  # the last value of the weights becomes about 4
            path.write_bytes(content)
            config = json.loads((tmp_path / "s" / "config.json").read_text())
            config["hidden_act"] = "relu"
            (tmp_path / "s" / "config.json").write_text(json.dumps(config))

    with pytest.raises(ParityFailure, match="differs by"):
        extract_student(
            stock_superlm, stock_superlm.candidates[0], tmp_path / "s", on_phase=on_phase
        )


def test_students_of_several_superlms_are_each_checked_against_their_own(
    stock_superlm: SuperLM, free_superlm: SuperLM, tmp_path: Path
) -> None:
    for turn in range(2):
        for superlm in (stock_superlm, free_superlm):
            folder = tmp_path / f"{turn}-{superlm.spec.name}"
            receipt = extract_student(superlm, superlm.candidates[-1], folder)
            assert receipt.superlm == superlm.spec.reference
    model = AutoModel.from_pretrained(tmp_path / "1-stock")
    assert model.config.hidden_size == stock_superlm.candidates[-1].hidden
