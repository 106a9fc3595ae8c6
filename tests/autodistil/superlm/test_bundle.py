"""A bundle that is right: opened, read, and described."""

import json
from pathlib import Path
from typing import Any

import pytest

from autodistil.errors import InvalidInput
from autodistil.evaluation.quality import Score
from autodistil.evaluation.signals import Signals
from autodistil.search.budget import Budget
from autodistil.search.fronts import CostAxis, pareto_front
from autodistil.search.search import search
from autodistil.superlm.bundle import CARD, SPEC, SuperLM, open_superlm
from autodistil.superlm.entries import entries_of
from tests.autodistil.superlm.bundle_edits import edit_candidates, edit_spec, refused
from tests.factories import STOCK_SPACE


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


def test_a_bundle_of_the_first_format_opens_with_the_losses_that_it_has(
    stock_copy: SuperLM,
) -> None:
    def to_first_format(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            for name in set(Signals.model_fields) - {"relation_loss", "similarity_loss"}:
                del row[name]
            del row["quality"]

    folder = stock_copy.folder
    (folder / CARD).unlink()
    edit_spec(folder, lambda spec: spec["files"].pop(CARD))
    edit_candidates(folder, to_first_format)
    refused(folder, "lacks held-out signals")
    edit_spec(folder, lambda spec: spec.update(format="autodistil-superlm-1"))
    opened = open_superlm(folder)
    entries, budget = entries_of([opened]), Budget(macs="100%")
    with pytest.raises(InvalidInput, match="candidates of stock@1 have no quality"):
        search(entries, budget)
    of_loss = search(entries, budget, score=Score.LOSS).best.candidate
    assert of_loss.quality is None
    same = next(c for c in stock_copy.candidates if c.architecture == of_loss.architecture)
    assert same.score(Score.LOSS) == max(c.score(Score.LOSS) or 0 for c in stock_copy.candidates)


def test_the_readme_of_a_bundle_holds_its_front(stock_superlm: SuperLM) -> None:
    text = (stock_superlm.folder / CARD).read_text()
    assert text.startswith("# stock@1\n")
    assert "8 students of `tiny-teacher`" in text
    table = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    rows = [dict(zip(table[0], cells, strict=True)) for cells in table[1:]]
    entries = entries_of([stock_superlm])
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
        "from autodistil.search.search import search;"
        "open_superlm(Path(sys.argv[1])); assert 'torch' not in sys.modules;"
        "assert 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(stock_superlm.folder)], check=True)


def test_the_spec_is_plain_json(stock_superlm: SuperLM) -> None:
    spec = json.loads((stock_superlm.folder / SPEC).read_text())
    assert spec["kept_layers"]["3"] == [0, 1, 2]
    assert spec["teacher"]["name"] == "tiny-teacher"
