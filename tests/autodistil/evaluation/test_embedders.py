"""Students of a sentence embedder, in vocabularies of their own."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from autodistil.downstream.embedder import open_embedder
from autodistil.evaluation.candidate_table import measured_teacher
from autodistil.evaluation.held_out_text import HeldOutText
from autodistil.evaluation.students import evaluate_students
from autodistil.models.teacher import Teacher
from autodistil.selection.on_text import text_batches
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.slicing import load_elastic
from autodistil.superlm.tokenizers import load_tokenizer
from autodistil.text.vocabulary_texts import Texts
from autodistil.training.relations import (
    sentence_cosines,
    similarity_log_probabilities,
    similarity_loss,
)
from autodistil.training.settings import ObjectiveSettings
from tests.exports import export
from tests.factories import sentence

MEASURE = ObjectiveSettings(temperature=0.1)


@pytest.fixture(scope="module")
def sentences() -> list[str]:
    rng = random.Random(3)
    return [sentence(rng) for _ in range(48)]


def text_of(sentences: list[str], superlm: SuperLM, teacher: Teacher) -> HeldOutText:
    vocabularies = superlm.spec.space.vocab
    return HeldOutText(
        text_batches(sentences, teacher.tokenizer),
        {vocab: text_batches(sentences, load_tokenizer(superlm, vocab)) for vocab in vocabularies},
    )


def test_shared_signals_equal_those_of_each_exported_student_through_its_own_tokenizer(
    embedder_superlm: SuperLM,
    embedder: Teacher,
    embedder_folder: Path,
    sentences: list[str],
    tmp_path: Path,
) -> None:
    found = evaluate_students(
        load_elastic(embedder_superlm),
        embedder_superlm.spec.space.students(),
        measured_teacher(embedder),
        text_of(sentences, embedder_superlm, embedder),
        MEASURE,
    )
    assert {student.vocab for student in found} == set(embedder_superlm.spec.space.vocab)
    wanted = torch.from_numpy(open_embedder(embedder_folder).encode(sentences))
    target = similarity_log_probabilities(sentence_cosines(wanted), MEASURE.temperature)
    for index, candidate in enumerate(embedder_superlm.candidates):
        export(embedder_superlm, tmp_path / str(index), index)
        vectors = torch.from_numpy(open_embedder(tmp_path / str(index)).encode(sentences))
        signals = found[candidate.architecture]
        distance = 1 - (vectors * wanted).sum(1).mean()  # both are of length 1
        assert signals.vector_distance == pytest.approx(distance.item(), abs=1e-5)
        own = similarity_log_probabilities(sentence_cosines(vectors), MEASURE.temperature)
        loss = similarity_loss(own, target).item()
        assert signals.similarity_loss == pytest.approx(loss, rel=1e-4)
        assert signals.relation_loss is signals.hidden_relation_loss is None
    assert len({signals.vector_distance for signals in found.values()}) == len(found)


def test_the_embedder_itself_is_at_no_distance(embedder: Teacher, embedder_texts: Texts) -> None:
    teacher = measured_teacher(embedder)
    batches = [embedder_texts.own.held_out.batch(np.random.default_rng(0), 16, 32, 8)]
    (signals,) = evaluate_students(
        teacher.encoder,
        [embedder.architecture],
        teacher,
        HeldOutText(batches, {None: batches}),
        MEASURE,
    ).values()
    assert signals.vector_distance == pytest.approx(0, abs=1e-6)
    assert signals.neighbour_agreement == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("stop_after", [0, 5, 13])
def test_an_evaluation_in_several_vocabularies_resumes_from_its_log(
    stop_after: int,
    embedder_superlm: SuperLM,
    embedder: Teacher,
    sentences: list[str],
    tmp_path: Path,
) -> None:
    class Stopped(Exception):
        pass

    told: list[int] = []

    def stop() -> None:
        if len(told) == stop_after:
            raise Stopped
        told.append(1)

    def evaluate(on_student: object) -> object:
        return evaluate_students(
            load_elastic(embedder_superlm),
            embedder_superlm.spec.space.students(),
            measured_teacher(embedder),
            text_of(sentences, embedder_superlm, embedder),
            MEASURE,
            on_student,  # type: ignore[arg-type]
            log=tmp_path / "scores.jsonl",
        )

    with pytest.raises(Stopped):
        evaluate(stop)
    kept = (tmp_path / "scores.jsonl").read_bytes()
    assert kept.count(b"\n") == 1 + stop_after + 1  # the header, and the score before the stop
    again: list[int] = []
    whole = evaluate(lambda: again.append(1))
    assert len(again) == embedder_superlm.spec.space.size
    assert (tmp_path / "scores.jsonl").read_bytes().startswith(kept)
    assert evaluate(lambda: None) == whole
