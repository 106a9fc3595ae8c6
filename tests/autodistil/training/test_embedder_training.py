"""Training of a sentence embedder's students, in several vocabularies."""

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from autodistil.models.sentence_vectors import TRAINED_MAP
from autodistil.models.teacher import Teacher, trim_teacher
from autodistil.superlm.bundle import open_superlm
from autodistil.superlm.distillation import Distillation, distil
from autodistil.text.vocabulary_texts import Texts
from autodistil.training.loss_curve import LOSSES, LossRow
from autodistil.training.start import Start, calibration_batches, cut_superlm
from autodistil.training.trainer import Trainer
from tests.autodistil.training.runs import Killed, equal, kill_at, weights
from tests.factories import (
    EMBEDDER_SETTINGS,
    EMBEDDER_SPACE,
    SETTINGS,
    STOCK_SPACE,
    whole_texts,
)

Make = Callable[..., Trainer]


@pytest.fixture(scope="module")
def narrow_start(embedder: Teacher, embedder_texts: Texts) -> Start:
    assert embedder_texts.kept
    cut_from = trim_teacher(embedder, embedder_texts.kept, embedder_texts.tokenizer)
    batches = calibration_batches(embedder_texts.largest.train, 0, 2)
    settings = EMBEDDER_SETTINGS.start.model_copy(update={"least_squares": False})
    return cut_superlm(cut_from, EMBEDDER_SPACE, batches, settings)


@pytest.fixture
def make(embedder: Teacher, embedder_texts: Texts, narrow_start: Start) -> Make:
    def build(folder: Path, vectors: Path | None = None, **settings: Any) -> Trainer:
        changed = EMBEDDER_SETTINGS.model_copy(update=settings)
        return Trainer(
            embedder,
            EMBEDDER_SPACE,
            narrow_start,
            embedder_texts,
            changed,
            folder,
            vectors=vectors,
        )

    return build


def test_the_distance_of_vectors_falls_for_every_size(make: Make, tmp_path: Path) -> None:
    reports: list[LossRow] = []
    make(tmp_path, tokens=60_000, learning_rate=3e-3).run(on_step=reports.append)

    def mean(part: list[LossRow], student: int) -> float:
        return sum(row.students[student].losses["vector"] for row in part) / len(part)

    assert list(reports[0].students[0].losses) == ["vector", "cosine"]
    for student in (0, 1):  # the largest, the smallest
        assert mean(reports[-10:], student) < 0.85 * mean(reports[:10], student), student


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("batches", ["own", "shared"])
def test_a_resumed_run_ends_as_an_unbroken_one(
    batches: str, centred: bool, make: Make, tmp_path: Path
) -> None:
    settings = {"batches": batches, "centred": centred, "tokens": 8_000}
    whole = make(tmp_path / "whole", **settings)
    whole.run()
    assert whole.step > 4
    for step in (2, 4):
        with pytest.raises(Killed):
            make(tmp_path / "killed", **settings).run(0, kill_at(step))
    resumed = make(tmp_path / "killed", **settings)
    assert 0 < resumed.step < whole.step
    resumed.run()
    assert equal(weights(resumed), weights(whole))
    found, expected = ((tmp_path / n / LOSSES).read_text() for n in ("killed", "whole"))
    assert found == expected
    for trainer in (resumed, whole):
        trainer.finish()
    assert equal(weights(resumed), weights(whole))


def test_students_of_a_step_read_batches_of_their_own_or_share_one(
    make: Make, tmp_path: Path
) -> None:
    own, shared = (make(tmp_path / b, batches=b).sampler for b in ("own", "shared"))
    assert len(shared.tasks(3)) == 1
    assert list(shared.tasks(3)[0].students) == shared.students(3)
    tasks = own.tasks(3)
    assert [task.students for task in tasks] == [(student,) for student in own.students(3)]
    first, *others = (task.passages.tolist() for task in tasks)
    assert all(set(first).isdisjoint(other) for other in others)


def test_a_pass_over_the_text_with_batches_of_ones_own_reads_every_passage(
    make: Make, tmp_path: Path
) -> None:
    sampler = make(tmp_path, batches="own").sampler
    seen: list[int] = []
    for step in range(200):
        for task in sampler.tasks(step):
            if len(seen) < len(sampler.passages):
                seen += task.passages.tolist()
    assert sorted(seen) == list(range(len(sampler.passages)))


def test_a_batch_is_the_same_passages_in_the_tokens_of_each_vocabulary(
    make: Make, embedder_texts: Texts, tmp_path: Path
) -> None:
    sampler = make(tmp_path).sampler
    (task, *_) = sampler.tasks(0)
    for vocab in (80, 120):
        batch = sampler.read(task.passages, vocab)
        assert len(batch.input_ids) == len(task.passages)
        assert int(batch.input_ids.max()) < vocab
        text = embedder_texts.train[vocab]
        for row, passage in zip(batch.input_ids, task.passages, strict=True):
            low = text.starts[sampler.passages.first[passage]]
            assert row[1:4].tolist() == text.ids[low : low + 3].tolist()


def test_runs_on_the_same_text_share_the_teachers_vectors(make: Make, tmp_path: Path) -> None:
    first = make(tmp_path / "one", vectors=tmp_path / "vectors")
    first.run()
    (kept,) = (tmp_path / "vectors").iterdir()
    other = make(tmp_path / "other", vectors=tmp_path / "vectors", learning_rate=5e-4)
    other.run()
    assert list((tmp_path / "vectors").iterdir()) == [kept]
    assert not list((tmp_path / "one").glob("teacher-*"))


def test_no_teacher_runs_once_its_vectors_are_known(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "one", vectors=tmp_path / "vectors").run()
    trainer = make(tmp_path / "other", vectors=tmp_path / "vectors")

    def refuse(*arguments: object) -> None:
        raise AssertionError("the teacher ran")

    monkeypatch.setattr(trainer._teacher, "outputs", refuse)
    trainer.run()
    assert trainer.step > 1


def test_finishing_gives_every_depth_and_width_its_own_map(make: Make, tmp_path: Path) -> None:
    trainer = make(tmp_path)
    trainer.run()
    before = weights(trainer)
    trainer.finish()
    after = weights(trainer)
    maps = {f"map.L{d}-H{w}.{p}" for d in (1, 2) for w in (16, 32) for p in ("weight", "bias")}
    assert set(after) - set(before) == maps
    assert set(before) - set(after) == {f"{TRAINED_MAP}.weight", f"{TRAINED_MAP}.bias"}
    assert all(torch.equal(after[name], before[name]) for name in set(after) & set(before))
    trainer.finish()  # a second time changes nothing
    assert equal(weights(trainer), after)


def test_an_embedders_students_may_be_trained_by_the_papers_objective_and_get_maps_too(
    embedder: Teacher, embedder_texts: Texts, tmp_path: Path
) -> None:
    superlm = distil(
        Distillation(
            embedder,
            STOCK_SPACE,
            whole_texts(embedder_texts.own, embedder),
            "made-up words",
            SETTINGS.model_copy(update={"tokens": 600}),
            "paper",
        ),
        tmp_path / "work",
        tmp_path / "paper",
    )
    assert superlm.spec.map_width == 64
    assert open_superlm(tmp_path / "paper") == superlm


def test_a_text_of_a_single_passage_can_be_trained_on(
    embedder: Teacher, embedder_texts: Texts, narrow_start: Start, tmp_path: Path
) -> None:
    def first_sentence(text: Any) -> Any:
        part = copy(text)
        part._ids, part._starts = text.ids[: text.starts[1]], text.starts[:2]
        part._documents = text.documents[:1]
        return part

    parts = {
        vocab: replace(corpus, train=first_sentence(corpus.train))
        for vocab, corpus in embedder_texts.by_vocab.items()
    }
    own = replace(embedder_texts.own, train=first_sentence(embedder_texts.own.train))
    texts = replace(embedder_texts, own=own, by_vocab=parts)
    settings = EMBEDDER_SETTINGS.model_copy(update={"tokens": 200})
    trainer = Trainer(embedder, EMBEDDER_SPACE, narrow_start, texts, settings, tmp_path)
    trainer.run()
    assert trainer.step > 2
    assert all(tensor.isfinite().all() for tensor in weights(trainer).values())
