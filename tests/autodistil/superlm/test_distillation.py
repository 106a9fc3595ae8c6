import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from autodistil.evaluation.evaluation import evaluate_students, held_out_batches
from autodistil.extraction.extraction import extract_student
from autodistil.models.teacher import Teacher, load_teacher
from autodistil.spaces.architecture import SubSpace
from autodistil.superlm.bundle import SuperLM, open_superlm
from autodistil.superlm.distillation import Progress, distil
from autodistil.superlm.slicing import load_elastic
from autodistil.text.corpus import Corpus
from autodistil.training.loss_curve import LossRow
from autodistil.training.settings import TrainingSettings
from autodistil.training.start import calibration_batches, cut_superlm, teacher_encoder
from tests.factories import SETTINGS, STOCK_SPACE
from tests.ranks import assert_same_signals, rank_tolerance

ONE_SPACE = STOCK_SPACE.model_copy(update={"hidden": (16,), "ffn_percent": (200,)})
FEW = SETTINGS.model_copy(update={"tokens": 300})


def run(
    teacher: Teacher,
    corpus: Corpus,
    folder: Path,
    space: SubSpace = ONE_SPACE,
    settings: TrainingSettings = FEW,
    progress: Progress | None = None,
) -> SuperLM:
    return distil(
        teacher,
        space,
        corpus,
        "words",
        settings,
        "few",
        folder / "work",
        folder / "bundle",
        progress=progress,
    )


def test_the_bundle_says_where_it_comes_from(
    stock_superlm: SuperLM, teacher: Teacher, corpus: Corpus
) -> None:
    spec, provenance = stock_superlm.spec, stock_superlm.spec.provenance
    assert spec.teacher.name == "tiny-teacher"
    assert (spec.teacher.sha256, spec.teacher.architecture) == (
        teacher.sha256,
        teacher.architecture,
    )
    assert spec.encoder == teacher.encoder
    assert (provenance.corpus, provenance.corpus_sha256) == ("made-up words", corpus.sha256)
    assert provenance.tokens_seen >= SETTINGS.tokens
    assert provenance.steps > 5
    assert TrainingSettings.model_validate(provenance.settings) == SETTINGS
    assert provenance.held_out_tokens > 10_000
    assert spec.pooling is None


def test_the_candidates_are_scored_with_the_weights_that_ship(
    free_superlm: SuperLM, teacher: Teacher, corpus: Corpus
) -> None:
    batches = held_out_batches(corpus.held_out)
    signals = evaluate_students(
        load_elastic(free_superlm),
        free_superlm.spec.space.students(),
        teacher_encoder(teacher),
        teacher.architecture,
        batches,
        SETTINGS.measured,
    )
    for candidate in free_superlm.candidates:
        assert candidate.signals is not None
        wanted = dict(signals[candidate.architecture])
        assert_same_signals(dict(candidate.signals), wanted, rank_tolerance(batches), rel=1e-6)


def test_the_tokenizer_in_the_bundle_is_the_teachers(
    stock_superlm: SuperLM, teacher: Teacher
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(stock_superlm.tokenizer_path)
    text = "Ba be, wörd!"
    assert tokenizer(text)["input_ids"] == teacher.tokenizer(text)["input_ids"]


@dataclass
class Run:
    """A short run of `distil` and everything it reported."""

    superlm: SuperLM
    folder: Path
    cuts: list[tuple[int, int]]
    steps: list[LossRow]
    scores: list[tuple[int, int]]


@pytest.fixture(scope="module")
def short_run(teacher: Teacher, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Over a folder where something else was before."""
    folder = tmp_path_factory.mktemp("short-run")
    (folder / "bundle").mkdir()
    (folder / "bundle" / "junk.bin").write_bytes(b"junk")
    cuts: list[tuple[int, int]] = []
    steps: list[LossRow] = []
    scores: list[tuple[int, int]] = []
    progress = Progress(
        lambda done, total: cuts.append((done, total)),
        steps.append,
        lambda done, total: scores.append((done, total)),
    )
    return Run(run(teacher, corpus, folder, progress=progress), folder, cuts, steps, scores)


def test_progress_is_told_of_the_cut_of_every_step_and_of_every_score(short_run: Run) -> None:
    assert short_run.cuts == [(done, 18) for done in range(1, 19)]  # six matrices, three layers
    assert len(short_run.steps) == short_run.superlm.spec.provenance.steps > 1
    total = 9 * ONE_SPACE.size
    assert short_run.scores == [(done, total) for done in range(1, total + 1)]


def test_a_bundle_is_replaced_whole(short_run: Run) -> None:
    assert short_run.superlm == open_superlm(short_run.folder / "bundle")
    assert sorted(path.name for path in short_run.folder.iterdir()) == ["bundle", "work"]


def test_an_interrupted_distillation_goes_on_and_ends_in_the_same_weights(
    short_run: Run, teacher: Teacher, corpus: Corpus, tmp_path: Path
) -> None:
    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Stopped

    whole = short_run.superlm
    with pytest.raises(Stopped):  # after training, before the bundle
        run(teacher, corpus, tmp_path, progress=Progress(on_student=stop))
    assert not (tmp_path / "bundle").exists()
    cuts: list[tuple[int, int]] = []
    steps: list[LossRow] = []
    progress = Progress(lambda done, total: cuts.append((done, total)), steps.append)
    again = run(teacher, corpus, tmp_path, progress=progress)
    assert cuts == [(1, 1)]  # read, not cut again
    assert steps == []
    assert again.candidates == whole.candidates
    assert again.weights_path.read_bytes() == whole.weights_path.read_bytes()


def test_zero_tokens_ship_the_untrained_slices(
    teacher: Teacher, corpus: Corpus, tmp_path: Path
) -> None:
    untrained = SETTINGS.model_copy(update={"tokens": 0})
    superlm = run(teacher, corpus, tmp_path, settings=untrained)
    calibration = calibration_batches(
        corpus.train, SETTINGS.seed, SETTINGS.start.calibration_batches
    )
    start = cut_superlm(teacher, ONE_SPACE, calibration, SETTINGS.start)
    stored = load_file(superlm.weights_path)
    assert all(torch.equal(stored[name], t.half()) for name, t in start.tensors.items())
    assert superlm.spec.provenance.steps == 0
    assert superlm.spec.kept_layers == start.kept_layers


def test_a_sentence_embedder_gives_pooling_students(
    teacher_folder: Path, corpus: Corpus, tmp_path: Path
) -> None:
    folder = tmp_path / "embedder"
    shutil.copytree(teacher_folder, folder)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    superlm = run(load_teacher(str(folder)), corpus, tmp_path)
    assert superlm.spec.pooling == "mean"
    receipt = extract_student(superlm, superlm.candidates[0], tmp_path / "student")
    assert "1_Pooling/config.json" in receipt.files
