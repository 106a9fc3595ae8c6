"""Candidate tables that do not say what the spec says."""

from collections.abc import Callable
from typing import Any

import pytest

from autodistil.superlm.bundle import CANDIDATES, SuperLM
from tests.autodistil.superlm.bundle_edits import edit_candidates, refused
from tests.factories import rehash


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.pop(), "does not list each student"),
        (lambda rows: rows.append(rows[0]), "does not list each student"),
        (lambda rows: rows.__setitem__(0, rows[1]), "does not list each student"),
        (lambda rows: rows[0].update(hidden=24), "does not list each student"),
        (lambda rows: rows[2].update(params=5), "wrong cost of L2-H32-A4x8-F64"),
        (lambda rows: rows[2].update(sequence_length=64), "wrong cost"),
        (lambda rows: rows[2].update(paper_macs=1), "wrong cost"),
        (lambda rows: rows[0].update(relation_loss=float("inf")), "relation_loss: .*finite"),
        (lambda rows: rows[0].update(similarity_loss=float("nan")), "similarity_loss"),
        (lambda rows: rows[0].update(relation_loss=-1), "relation_loss: .*greater"),
        (lambda rows: rows[0].update(relation_loss=None), "lacks held-out signals"),
        (lambda rows: rows[0].update(similarity_loss=None), "lacks held-out signals"),
        (lambda rows: rows[0].update(hidden_relation_loss=None), "lacks held-out signals"),
        (lambda rows: rows[0].pop("stranger_agreement"), "lacks held-out signals"),
        (lambda rows: rows[0].update(neighbour_agreement=1.01), "neighbour_agreement: .*less"),
        (lambda rows: rows[0].update(sub_space="base"), "another sub-space"),
        (lambda rows: rows[0].update(layers=1001), "layers"),
        (lambda rows: rows[0].update(note="hi"), "0.note: Extra inputs"),
        (lambda rows: rows[0].pop("params"), "0.params: Field required"),
        (lambda rows: rows[0].update(hidden=0), "hidden"),
        (lambda rows: rows[0].update(hidden=10**30), "hidden"),
        (lambda rows: rows[0].update(params=10**400), "params|cost"),
        (lambda rows: rows.__setitem__(0, []), "no list of candidate rows|valid"),
        (lambda rows: rows.clear(), "does not list each student"),
    ],
)
def test_a_wrong_candidate_table_is_refused(
    stock_copy: SuperLM, change: Callable[[list[dict[str, Any]]], object], message: str
) -> None:
    edit_candidates(stock_copy.folder, change)
    refused(stock_copy.folder, f"{CANDIDATES}.*({message})")


@pytest.mark.parametrize(
    "content",
    ["", "{}", "null", "5", '"x"', "[1, 2]", "[null]", "[", "[" * 100_000, "\xff", '{"a": 1}',
     "[" + "9" * 5000 + "]", "NaN"],
)  # fmt: skip
def test_candidates_that_are_no_table_are_refused(stock_copy: SuperLM, content: str) -> None:
    (stock_copy.folder / CANDIDATES).write_bytes(content.encode("latin-1"))
    rehash(stock_copy.folder)
    refused(stock_copy.folder, CANDIDATES)


def test_an_embedders_student_without_its_distance_is_refused(embedder_copy: SuperLM) -> None:
    edit_candidates(embedder_copy.folder, lambda rows: rows[3].update(vector_distance=None))
    refused(embedder_copy.folder, "lacks held-out signals")
