from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from autodistil.evaluation.candidate_table import measured_teacher
from autodistil.evaluation.held_out_text import held_out_text
from autodistil.evaluation.students import evaluate_students
from autodistil.models.teacher import Teacher
from autodistil.spaces.sub_space import SubSpace
from autodistil.superlm.bundle import SuperLM, open_superlm
from autodistil.superlm.distillation import Distillation, Progress, distil
from autodistil.superlm.slicing import load_elastic, slice_map
from autodistil.superlm.tokenizers import load_tokenizer
from autodistil.text.corpus import Corpus
from autodistil.text.vocabulary_texts import Texts
from autodistil.training.loss_curve import LossRow
from autodistil.training.settings import TrainingSettings
from autodistil.training.start import calibration_batches, cut_superlm
from tests.factories import EMBEDDER_SETTINGS, EMBEDDER_SPACE, SETTINGS, STOCK_SPACE
from tests.ranks import assert_same_signals, rank_tolerance

ONE_SPACE = STOCK_SPACE.model_copy(update={"hidden": (16,), "ffn_percent": (200,)})
FEW = SETTINGS.model_copy(update={"tokens": 300})


def run(
    teacher: Teacher,
    texts: Texts,
    folder: Path,
    space: SubSpace = ONE_SPACE,
    settings: TrainingSettings = FEW,
    progress: Progress | None = None,
) -> SuperLM:
    return distil(
        Distillation(
            teacher,
            space,
            texts,
            "words",
            settings,
            "few",
        ),
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
    assert spec.teacher.embedding is None
    assert spec.tokens_per_text == {}


def test_the_candidates_are_scored_with_the_weights_that_ship(
    free_superlm: SuperLM, teacher: Teacher, texts: Texts
) -> None:
    text = held_out_text(texts.own, texts.by_vocab, teacher.longest)
    signals = evaluate_students(
        load_elastic(free_superlm),
        free_superlm.spec.space.students(),
        measured_teacher(teacher),
        text,
        SETTINGS.measured,
    )
    for candidate in free_superlm.candidates:
        assert candidate.signals is not None
        wanted = signals[candidate.architecture].model_dump(exclude_none=True)
        found = candidate.signals.model_dump(exclude_none=True)
        assert_same_signals(found, wanted, rank_tolerance(text.own), rel=1e-6)


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
def short_run(teacher: Teacher, texts: Texts, tmp_path_factory: pytest.TempPathFactory) -> Run:
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
    return Run(run(teacher, texts, folder, progress=progress), folder, cuts, steps, scores)


def test_progress_is_told_of_the_cut_of_every_step_and_of_every_score(short_run: Run) -> None:
    assert short_run.cuts == [(done, 18) for done in range(1, 19)]  # six matrices, three layers
    assert len(short_run.steps) == short_run.superlm.spec.provenance.steps > 1
    total = 9 * ONE_SPACE.size
    assert short_run.scores == [(done, total) for done in range(1, total + 1)]


def test_a_bundle_is_replaced_whole(short_run: Run) -> None:
    assert short_run.superlm == open_superlm(short_run.folder / "bundle")
    assert sorted(path.name for path in short_run.folder.iterdir()) == ["bundle", "work"]


def test_an_interrupted_distillation_goes_on_and_ends_in_the_same_weights(
    short_run: Run, teacher: Teacher, texts: Texts, tmp_path: Path
) -> None:
    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Stopped

    whole = short_run.superlm
    with pytest.raises(Stopped):  # after training, before the bundle
        run(teacher, texts, tmp_path, progress=Progress(on_student=stop))
    assert not (tmp_path / "bundle").exists()
    cuts: list[tuple[int, int]] = []
    steps: list[LossRow] = []
    progress = Progress(lambda done, total: cuts.append((done, total)), steps.append)
    again = run(teacher, texts, tmp_path, progress=progress)
    assert cuts == [(1, 1)]  # read, not cut again
    assert steps == []
    assert again.candidates == whole.candidates
    assert again.weights_path.read_bytes() == whole.weights_path.read_bytes()


def test_zero_tokens_ship_the_untrained_slices(
    teacher: Teacher, texts: Texts, tmp_path: Path
) -> None:
    untrained = SETTINGS.model_copy(update={"tokens": 0})
    superlm = run(teacher, texts, tmp_path, settings=untrained)
    calibration = calibration_batches(
        texts.own.train, SETTINGS.seed, SETTINGS.start.calibration_batches
    )
    start = cut_superlm(teacher, ONE_SPACE, calibration, SETTINGS.start)
    stored = load_file(superlm.weights_path)
    assert all(torch.equal(stored[name], t.half()) for name, t in start.tensors.items())
    assert superlm.spec.provenance.steps == 0
    assert superlm.spec.kept_layers == start.kept_layers


def test_a_sentence_embedders_bundle_says_how_it_embeds_and_what_its_text_costs(
    embedder_superlm: SuperLM, embedder: Teacher, embedder_texts: Texts
) -> None:
    spec = embedder_superlm.spec
    assert embedder.embedding is not None
    assert spec.teacher.embedding == embedder.embedding
    assert spec.teacher.architecture.vocab == embedder.encoder.vocab_size
    assert spec.encoder.vocab_size == 120
    own = embedder_texts.own.held_out.tokens
    assert spec.tokens_per_text == {
        vocab: pytest.approx(embedder_texts.by_vocab[vocab].held_out.tokens / own, abs=1e-4)
        for vocab in (80, 120)
    }
    assert spec.tokens_per_text[80] > spec.tokens_per_text[120] > 1
    by_vocab = {c.vocab: c for c in embedder_superlm.candidates}
    assert by_vocab[80].sequence_length > by_vocab[120].sequence_length > 128


def test_untrained_slices_of_an_embedder_have_their_maps_too(
    embedder: Teacher, embedder_texts: Texts, tmp_path: Path
) -> None:
    untrained = EMBEDDER_SETTINGS.model_copy(update={"tokens": 0})
    superlm = run(embedder, embedder_texts, tmp_path, EMBEDDER_SPACE, untrained)
    assert superlm.spec.provenance.steps == 0
    for candidate in superlm.candidates:
        assert candidate.vector_distance is not None
        assert candidate.vector_distance < 0.5  # without a map they would have nothing in common
    biases = {
        tuple(slice_map(superlm, student)["linear.bias"].tolist())  # type: ignore[index]
        for student in EMBEDDER_SPACE.students()
    }
    assert len(biases) == 4  # one for every depth and width


def test_the_tokenizer_of_an_embedders_bundle_has_the_largest_vocabulary(
    embedder_superlm: SuperLM, embedder_texts: Texts
) -> None:
    assert embedder_texts.kept is not None
    for vocab in (80, 120):
        tokenizer = load_tokenizer(embedder_superlm, vocab)
        assert len(tokenizer) == vocab
        ids = tokenizer("Ba be, wörd!")["input_ids"]
        assert max(ids) < vocab
    whole = embedder_texts.tokenizer
    assert whole.get_vocab() == load_tokenizer(embedder_superlm, None).get_vocab()
