"""Evaluations that are killed go on where they were."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from autodistil.evaluation import students
from autodistil.evaluation.candidate_table import measured_teacher
from autodistil.evaluation.comparison import SentenceComparison
from autodistil.evaluation.held_out_text import HeldOutText, held_out_text
from autodistil.evaluation.signals import Signals
from autodistil.evaluation.students import evaluate_students
from autodistil.models.elastic import ElasticEncoder, KeptLayers
from autodistil.models.teacher import Teacher, load_teacher
from autodistil.superlm.bundle import SuperLM, open_superlm
from autodistil.superlm.slicing import load_elastic
from autodistil.text.corpus import tokenize_corpus
from tests.autodistil.evaluation.test_students import MEASURE
from tests.factories import STOCK_SPACE, random_batch, random_tensors
from tests.ranks import assert_same_signals, rank_tolerance

KILLED = """
import os, signal, sys
from pathlib import Path
from tests.autodistil.evaluation.test_interrupted_evaluation import evaluate_bundle
calls = []
def on_student():
    calls.append(1)
    if len(calls) == int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)
evaluate_bundle(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), on_student)
"""


def read_text(teacher: Teacher, folder: Path) -> HeldOutText:
    """Held-out text of the corpus in a folder."""
    corpus = tokenize_corpus(folder / "corpus", teacher.tokenizer, folder / "cache")
    return held_out_text(corpus, {None: corpus}, teacher.longest, rounds=1)


def evaluate_bundle(bundle: Path, teacher: str, folder: Path, on_student=lambda: None):  # type: ignore[no-untyped-def]
    """A whole evaluation with its log in `folder`, beside the corpus."""
    torch.set_num_threads(1)
    superlm, loaded = open_superlm(bundle), load_teacher(teacher)
    return evaluate_students(
        load_elastic(superlm),
        superlm.spec.space.students(),
        measured_teacher(loaded),
        read_text(loaded, folder),
        MEASURE,
        on_student,
        log=folder / "scores.jsonl",
    )


def test_a_killed_evaluation_goes_on_without_repeating_a_score(
    stock_superlm: SuperLM,
    teacher_folder: Path,
    corpus_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "corpus").symlink_to(corpus_folder)
    before_kill, total = 17, 3 * STOCK_SPACE.size
    arguments = [stock_superlm.folder, teacher_folder, tmp_path, before_kill]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *map(str, arguments)], env={**os.environ, "PYTHONPATH": "."}
    )
    assert killed.returncode == -signal.SIGKILL
    log = tmp_path / "scores.jsonl"
    kept = log.read_bytes()
    assert kept.count(b"\n") == 1 + before_kill
    log.write_bytes(kept + b'{"student":"L2-')  # as if the kill had come in the middle of a line

    compared: list[Tensor] = []
    original = SentenceComparison.compare
    monkeypatch.setattr(
        SentenceComparison,
        "compare",
        lambda self, vectors, *more: compared.append(vectors) or original(self, vectors, *more),
    )
    told: list[int] = []
    found = evaluate_bundle(
        stock_superlm.folder, str(teacher_folder), tmp_path, lambda: told.append(1)
    )
    assert len(compared) == total - before_kill
    assert len(told) == total
    assert log.read_bytes().startswith(kept)
    assert log.read_bytes().count(b"\n") == 1 + total

    again = evaluate_bundle(stock_superlm.folder, str(teacher_folder), tmp_path)
    assert len(compared) == total - before_kill  # nothing was left to do
    log.unlink()
    assert again == found
    text = read_text(load_teacher(str(teacher_folder)), tmp_path)
    ranks = rank_tolerance(text.own)
    for student, signals in evaluate_bundle(
        stock_superlm.folder, str(teacher_folder), tmp_path
    ).items():
        found_before = found[student].model_dump(exclude_none=True)
        wanted = signals.model_dump(exclude_none=True)
        assert_same_signals(found_before, wanted, ranks, rel=1e-5)


def test_scores_of_something_else_are_not_taken(
    teacher: Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "scores.jsonl"
    kept: KeptLayers = {2: (0, 2), 3: (0, 1, 2)}

    def evaluate(seed: int = 0, batch: int = 0, heads: int = 4, neighbours: int = 8) -> Signals:
        tensors = random_tensors(STOCK_SPACE.largest, teacher.encoder, seed)
        rows = [random_batch(50, seed=batch)]
        (found,) = evaluate_students(
            ElasticEncoder(tensors, teacher.encoder, kept),
            [STOCK_SPACE.smallest],
            measured_teacher(teacher),
            HeldOutText(rows, {None: rows}),
            MEASURE.model_copy(update={"relation_heads": heads}),
            neighbours=neighbours,
            log=log,
        ).values()
        return found

    first = evaluate()
    others = [evaluate(seed=1), evaluate(batch=1), evaluate(heads=2), evaluate(neighbours=2)]
    assert first not in others
    header = log.read_bytes()
    monkeypatch.setattr(students, "_KIND", "signals-0")
    evaluate(neighbours=2)
    assert log.read_bytes() != header
