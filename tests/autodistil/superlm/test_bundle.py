"""A bundle that is right: opened, read, and described."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autodistil.errors import InvalidBundle
from autodistil.models.teacher import Teacher
from autodistil.search.fronts import CostAxis, pareto_front
from autodistil.superlm.bundle import CARD, SPEC, SuperLM, open_superlm
from autodistil.superlm.card import bundle_card
from autodistil.superlm.entries import entries_of
from tests.autodistil.superlm.bundle_edits import edit_spec, refused
from tests.factories import EMBEDDER_SPACE, STOCK_SPACE


def test_a_bundle_opens_with_what_was_written(stock_superlm: SuperLM) -> None:
    superlm = open_superlm(stock_superlm.folder)
    assert superlm == stock_superlm
    assert superlm.spec.reference == "stock@1"
    assert superlm.spec.space == STOCK_SPACE
    assert {c.architecture for c in superlm.candidates} == set(STOCK_SPACE.students())
    assert all(c.signals is not None for c in superlm.candidates)
    assert superlm.weights_path.is_file()
    assert (superlm.tokenizer_path / "tokenizer.json").is_file()
    assert superlm.spec.teacher_cost.params > max(c.params for c in superlm.candidates)


@pytest.mark.parametrize("number", [1, 2, 4])
def test_a_bundle_of_another_format_is_refused_in_one_sentence(
    number: int, stock_copy: SuperLM
) -> None:
    edit_spec(stock_copy.folder, lambda spec: spec.update(format=f"autodistil-superlm-{number}"))
    with pytest.raises(InvalidBundle) as caught:
        open_superlm(stock_copy.folder)
    assert str(caught.value) == (
        f"superlm.json: this bundle has the format 'autodistil-superlm-{number}', this version "
        "reads 'autodistil-superlm-3' alone; train the SuperLM anew."
    )


def test_a_bundle_of_an_old_format_is_refused_for_that_whatever_else_it_lacks(
    stock_copy: SuperLM,
) -> None:
    def to_second_format(spec: dict[str, Any]) -> None:
        spec.update(format="autodistil-superlm-2", pooling=None)
        del spec["tokens_per_text"], spec["teacher"]["embedding"]

    edit_spec(stock_copy.folder, to_second_format)
    refused(stock_copy.folder, r"^superlm\.json: this bundle has the format 'autodistil-superlm-2'")


def test_a_bundle_of_an_embedders_students_opens_with_what_was_written(
    embedder_superlm: SuperLM, embedder: Teacher
) -> None:
    superlm = open_superlm(embedder_superlm.folder)
    assert superlm == embedder_superlm
    assert superlm.spec.teacher.embedding == embedder.embedding
    assert superlm.spec.map_width == 64
    assert superlm.spec.space == EMBEDDER_SPACE
    assert all(c.vector_distance is not None for c in superlm.candidates)
    text = (superlm.folder / CARD).read_text()
    assert "| distance |" in text
    assert "relation loss" not in text
    assert "80, 120 tokens" in text


def test_the_readme_of_a_bundle_holds_its_front(stock_superlm: SuperLM) -> None:
    assert (stock_superlm.folder / CARD).read_text() == bundle_card(
        stock_superlm.spec, stock_superlm.candidates
    )
    worst = {"neighbour_agreement": -1.0}  # of the largest student, so that others are better
    *others, largest = stock_superlm.candidates
    changed = replace(stock_superlm, candidates=[*others, largest.model_copy(update=worst)])
    text = bundle_card(changed.spec, changed.candidates)
    assert text.startswith("# stock@1\n")
    assert "8 students of `tiny-teacher`" in text
    table = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    rows = [dict(zip(table[0], cells, strict=True)) for cells in table[1:]]
    entries = entries_of([changed])
    for axis, name in ((CostAxis.MACS, "macs"), (CostAxis.PARAMS, "params")):
        listed = [row for row in rows if name in row["cheapest of its quality by"].split(", ")]
        expected = pareto_front(entries, axis)
        assert {(row["MACs"], row["quality"]) for row in listed} == {
            (f"{e.candidate.macs:,}", f"{e.candidate.quality:.4f}") for e in expected
        }
    assert len(rows) < len(entries)


def test_no_bundle_folder_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "nothing", "no bundle folder")
    refused(tmp_path, f"{SPEC} is missing")


def test_opening_a_bundle_needs_no_torch(stock_superlm: SuperLM) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from autodistil.superlm.bundle import open_superlm;"
        "from autodistil.search.choice import search;"
        "open_superlm(Path(sys.argv[1])); assert 'torch' not in sys.modules;"
        "assert 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(stock_superlm.folder)], check=True)


def test_the_spec_is_plain_json(stock_superlm: SuperLM) -> None:
    spec = json.loads((stock_superlm.folder / SPEC).read_text())
    assert spec["kept_layers"]["3"] == [0, 1, 2]
    assert spec["teacher"]["name"] == "tiny-teacher"
