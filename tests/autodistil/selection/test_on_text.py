import dataclasses
import random
from pathlib import Path

import pytest

from autodistil.downstream.embedder import open_embedder
from autodistil.errors import InfeasibleBudget, InvalidInput, TeacherMismatch
from autodistil.evaluation.candidate_table import measured_teacher
from autodistil.evaluation.held_out_text import HeldOutText
from autodistil.evaluation.students import evaluate_students
from autodistil.models.teacher import Teacher
from autodistil.search.budget import Budget
from autodistil.search.choice import rank_feasible, search
from autodistil.selection.on_text import (
    hash_sentences,
    read_sentences,
    search_domain,
    text_batches,
)
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.entries import entries_of
from autodistil.superlm.slicing import load_elastic
from autodistil.superlm.teacher_check import check_teacher
from tests.exports import export
from tests.factories import SETTINGS, sentence
from tests.ranks import assert_same_signals, rank_tolerance


@pytest.fixture(scope="module")
def text() -> list[str]:
    rng = random.Random(5)
    return [sentence(rng) for _ in range(40)]


def test_the_best_students_are_scored_on_the_text_and_the_rest_are_left(
    stock_superlm: SuperLM,
    free_superlm: SuperLM,
    teacher: Teacher,
    text: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("autodistil.selection.on_text.STUDENTS", 5)
    superlms = {s.spec.reference: s for s in (stock_superlm, free_superlm)}
    entries, budget = entries_of(superlms.values()), Budget(macs="90%")
    told: list[tuple[int, int]] = []
    found = search_domain(
        superlms, entries, budget, teacher, text, on_student=lambda *now: told.append(now)
    )
    near = rank_feasible(entries, budget)[:5]
    assert [(e.superlm, e.candidate.architecture) for e in found.entries] == sorted(
        ((e.superlm, e.candidate.architecture) for e in near),
        key=lambda pair: [e.superlm for e in near].index(pair[0]),
    )
    batches = text_batches(text, teacher.tokenizer)
    for entry in found.entries:
        superlm, candidate = superlms[entry.superlm], entry.candidate
        (signals,) = evaluate_students(
            load_elastic(superlm),
            [candidate.architecture],
            measured_teacher(teacher),
            HeldOutText(batches, {None: batches}),
            SETTINGS.measured,
        ).values()
        assert candidate.signals is not None
        found_signals = candidate.signals.model_dump(exclude_none=True)
        wanted = signals.model_dump(exclude_none=True)
        assert_same_signals(found_signals, wanted, rank_tolerance(batches))
    before = search(entries, budget).best
    after = search(found.entries, budget).best
    assert found.receipt.scored == 5
    assert found.receipt.sentences == 40
    assert found.receipt.tokens == sum(batch.tokens for batch in batches)
    assert found.receipt.text_sha256 == hash_sentences(text)
    name = f"{before.candidate.architecture.name} of {before.superlm}"
    assert found.receipt.without_text == name
    assert found.receipt.changed == (
        f"{after.candidate.architecture.name} of {after.superlm}" != name
    )
    assert told == [(i + 1, 5 * len(batches)) for i in range(5 * len(batches))]


def test_an_embedders_students_are_scored_through_their_own_words(
    embedder_superlm: SuperLM,
    embedder: Teacher,
    embedder_folder: Path,
    text: list[str],
    tmp_path: Path,
) -> None:
    superlms, budget = {"narrow@1": embedder_superlm}, Budget(params="90%")
    entries = entries_of(superlms.values())
    found = search_domain(superlms, entries, budget, embedder, text)
    assert {entry.candidate.vocab for entry in found.entries} == {80, 120}
    wanted = open_embedder(embedder_folder).encode(text)
    for number, entry in enumerate(found.entries):
        place = [e.candidate.architecture for e in entries].index(entry.candidate.architecture)
        folder = tmp_path / str(number)
        export(embedder_superlm, folder, place)
        vectors = open_embedder(folder).encode(text)
        distance = 1 - float((vectors * wanted).sum(1).mean())
        assert entry.candidate.vector_distance == pytest.approx(distance, abs=1e-5)
        # The general table said something else.
        assert entry.candidate.vector_distance != entries[place].candidate.vector_distance


def test_the_receipt_says_whether_the_choice_changed(
    stock_superlm: SuperLM, teacher: Teacher, text: list[str]
) -> None:
    superlms, budget = {"stock@1": stock_superlm}, Budget(macs="90%")
    entries = entries_of(superlms.values())
    found = search_domain(superlms, entries, budget, teacher, text)
    # A table that agrees with the text on the best student, and one that names another.
    for wanted in {e.candidate.architecture for e in found.entries}:
        table = [
            entry._replace(
                candidate=entry.candidate.model_copy(
                    update={"neighbour_agreement": float(entry.candidate.architecture == wanted)}
                )
            )
            for entry in entries
        ]
        again = search_domain(superlms, table, budget, teacher, text)
        chosen = search(again.entries, budget).best.candidate.architecture
        assert again.receipt.changed == (wanted != chosen)
        assert again.receipt.without_text == f"{wanted.name} of stock@1"


def test_another_teacher_is_refused(
    stock_superlm: SuperLM, teacher: Teacher, text: list[str]
) -> None:
    check_teacher(stock_superlm, teacher)
    other = dataclasses.replace(teacher, sha256="0" * 64)
    with pytest.raises(TeacherMismatch, match="is not the tiny-teacher that stock@1") as caught:
        search_domain(
            {"stock@1": stock_superlm}, entries_of([stock_superlm]), Budget(macs="90%"), other, text
        )
    assert caught.value.members["found"] == "0" * 64


def test_a_budget_that_nothing_fits_is_refused_before_any_work(
    stock_superlm: SuperLM, teacher: Teacher, text: list[str]
) -> None:
    with pytest.raises(InfeasibleBudget):
        search_domain(
            {"stock@1": stock_superlm}, entries_of([stock_superlm]), Budget(macs=1), teacher, text
        )


@pytest.mark.parametrize("count", [16, 17, 23, 64, 65, 100, 300])
def test_batches_hold_every_sentence_once_in_order_and_whole_runs(
    count: int, teacher: Teacher
) -> None:
    rng = random.Random(count)
    sentences = [sentence(rng) for _ in range(count)]
    batches = text_batches(sentences, teacher.tokenizer)
    rows = [
        ids[mask.bool()].tolist()
        for batch in batches
        for ids, mask in zip(batch.input_ids, batch.attention_mask, strict=True)
    ]
    assert rows == teacher.tokenizer(sentences)["input_ids"]
    sizes = [len(batch.input_ids) for batch in batches]
    assert all(size % 8 == 0 for size in sizes[:-1])
    assert max(sizes) <= 72
    assert min(sizes) >= 16


def test_long_sentences_are_cut(teacher: Teacher) -> None:
    (batch,) = text_batches(["ba " * 500] * 20, teacher.tokenizer, longest=50)
    assert batch.input_ids.shape == (20, 50)


def test_text_that_says_nothing_is_refused(teacher: Teacher) -> None:
    assert read_sentences([" a ", "", "\n", *"bcdefghijklmnop"]) == list("abcdefghijklmnop")
    with pytest.raises(InvalidInput, match="has 15 sentences; 16 at least"):
        read_sentences([*"abcdefghijklmno", "  "])
    with pytest.raises(InvalidInput, match="has 0 sentences"):
        read_sentences([])
    with pytest.raises(InvalidInput, match="more than 1,000 characters"):
        read_sentences(["a" * 100] * 11, most=1000)
    with pytest.raises(InvalidInput, match="Only 1 sentences"):
        text_batches(["\u200b"] * 20 + ["ba"], teacher.tokenizer)


def test_any_other_text_has_another_hash() -> None:
    texts = [["a", "b"], ["ab"], ["a", "b", ""], ["b", "a"], ['a", "b'], ["\ud800"]]
    assert len({hash_sentences(text) for text in texts}) == len(texts)
