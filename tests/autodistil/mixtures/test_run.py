import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest

from autodistil.errors import InvalidInput, TeacherMismatch
from autodistil.evaluation.candidate_table import objective_of
from autodistil.evaluation.evaluation import evaluate_networks, evaluate_students, held_out_batches
from autodistil.evaluation.packed import PackedBatch
from autodistil.evaluation.score_log import ScoreLog
from autodistil.evaluation.shared_forward import SharedForward, network_of
from autodistil.evaluation.signals import Signals
from autodistil.mixtures.front import best_within, points
from autodistil.mixtures.report import MixtureReport, MixtureSettings
from autodistil.mixtures.run import PHASES, find_mixtures
from autodistil.mixtures.scoring import MixtureScorer, mixture_network
from autodistil.models.elastic import mean_pool
from autodistil.models.teacher import Teacher
from autodistil.spaces.mixture import Mixture
from autodistil.spaces.mixture_space import MixtureSpace
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.slicing import load_elastic
from autodistil.text.corpus import Corpus, tokenize_corpus
from autodistil.training.start import teacher_encoder
from tests.factories import random_batch, write_corpus
from tests.ranks import assert_same_signals, rank_tolerance

SETTINGS = MixtureSettings(
    evaluations=10, population=6, selection_rounds=1, confirmation_rounds=1, proposals=3
)
MIXED = Mixture(hidden=32, head_width=8, heads=(4, 2, 2), intermediate=(32, 128, 64))


@pytest.fixture(scope="module")
def text(teacher: Teacher, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Enough text that several documents are held out."""
    folder = write_corpus(tmp_path_factory.mktemp("text"), documents=900)
    return tokenize_corpus(folder, teacher.tokenizer, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def watched(
    stock_superlm: SuperLM, teacher: Teacher, text: Corpus
) -> tuple[MixtureReport, dict[str, set[int]]]:
    """An unbroken search, and the batches that each phase of it looked at."""
    seen: dict[str, set[int]] = {phase: set() for phase in PHASES}
    now = [PHASES[0]]
    original = MixtureScorer.signals

    def signals(self: MixtureScorer, mixture: Mixture, number: int) -> Signals:
        seen[now[0]].add(number)
        return original(self, mixture, number)

    def note(phase: str, done: int, total: int) -> None:
        now[0] = PHASES[min(2, PHASES.index(phase) + (done == total))]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MixtureScorer, "signals", signals)
        return find_mixtures(stock_superlm, teacher, text, SETTINGS, on_progress=note), seen


@pytest.fixture(scope="module")
def unbroken(watched: tuple[MixtureReport, dict[str, set[int]]]) -> MixtureReport:
    return watched[0]


def test_a_mixture_is_measured_as_the_students_are(
    stock_superlm: SuperLM, teacher: Teacher, text: Corpus
) -> None:
    encoder, source = load_elastic(stock_superlm), teacher_encoder(teacher)
    kept, objective = encoder.kept_layers, objective_of(stock_superlm.spec).measured
    batches = held_out_batches(text.held_out, rounds=1)
    student = stock_superlm.spec.space.largest
    models = (encoder, source, teacher.architecture, batches, objective)
    with ScoreLog(None, "") as log:
        scorer = MixtureScorer(*models, log, len(batches))
        found = {
            mixture: [scorer.signals(mixture, number) for number in range(len(batches))]
            for mixture in (Mixture.of(student), MIXED)
        }
    one = evaluate_students(encoder, [student], *models[1:])[student]
    several = evaluate_networks(
        encoder,
        {"mixed": mixture_network(MIXED, kept), "other": network_of(student, kept)},
        source,
        network_of(teacher.architecture, source.kept_layers),
        batches,
        objective,
    )
    for expected, rows in zip((one, several["mixed"]), found.values(), strict=True):
        means = {name: fmean(getattr(row, name) for row in rows) for name in dict(expected)}
        assert_same_signals(means, dict(expected), rank_tolerance(batches), rel=1e-5)
    assert several["mixed"] != several["other"]


def test_the_measured_network_is_what_the_encoder_runs(stock_superlm: SuperLM) -> None:
    encoder = load_elastic(stock_superlm)
    batch = random_batch(stock_superlm.spec.encoder.vocab_size, tokens=20)
    packed, network = PackedBatch.of(batch), mixture_network(MIXED, encoder.kept_layers)
    ((_, last),) = SharedForward.of(encoder, network).run(packed, [network.path])
    expected = encoder(batch.input_ids, batch.attention_mask, MIXED).hidden
    pooled = mean_pool(expected, batch.attention_mask)[packed.order]
    assert (packed.mean_pool(last.hidden) - pooled).abs().max() < 1e-5


def test_the_report_says_what_the_measurements_say(
    unbroken: MixtureReport, stock_superlm: SuperLM
) -> None:
    report, spec = unbroken, stock_superlm.spec
    weights = spec.files["weights.safetensors"].sha256
    assert (report.superlm, report.weights_sha256) == ("stock@1", weights)
    assert (report.evaluated, report.space_size) == (10, 504)
    assert (report.selection_batches, report.confirmation_batches) == (3, 3)
    assert {row.architecture for row in report.grid} == set(spec.space.students())
    assert MixtureReport.model_validate_json(report.model_dump_json()) == report
    proposed = (*report.held, *report.dropped)
    assert 1 <= len(proposed) <= SETTINGS.proposals
    for row in proposed:
        assert row.mixture in MixtureSpace.of(spec)
        assert not (row.mixture.uniform and row.mixture.uniform in spec.space)
        cheap = [student for student in report.grid if student.macs <= row.cost.macs]
        assert row.selection > max(student.selection for student in cheap)
        rival = max(cheap, key=lambda student: student.agreement)
        assert row.rival == rival.architecture.name
        assert row.gain.mean == pytest.approx(row.agreement - rival.agreement)
        assert row.gain.low < row.gain.mean < row.gain.high
    assert report.gain.low < report.gain.mean < report.gain.high


class Killed(Exception):
    pass


def test_a_killed_search_goes_on_and_measures_nothing_twice(
    unbroken: MixtureReport,
    stock_superlm: SuperLM,
    teacher: Teacher,
    text: Corpus,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run: Counter[tuple[str, int]] = Counter()
    original = ScoreLog.add

    def add(self: ScoreLog, student: str, batch: int, signals: Signals) -> None:
        run[student, batch] += 1
        original(self, student, batch, signals)

    def kill(name: str, done: int, total: int) -> None:
        assert name in PHASES
        if (name, done) == ("search", 7):
            raise Killed

    monkeypatch.setattr(ScoreLog, "add", add)
    with pytest.raises(Killed):
        find_mixtures(stock_superlm, teacher, text, SETTINGS, tmp_path, kill)
    (path,) = tmp_path.glob("*.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    before = len(run)
    assert len(lines) == before + 1  # the first names what is measured
    lost = json.loads(lines[-1])
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])  # killed inside a line
    report = find_mixtures(stock_superlm, teacher, text, SETTINGS, tmp_path)
    assert report == unbroken
    twice = {key for key, times in run.items() if times > 1}
    assert twice == {(lost["student"], lost["batch"])}
    assert len(run) > before

    run.clear()
    more = SETTINGS.model_copy(update={"evaluations": SETTINGS.evaluations + 1})
    assert find_mixtures(stock_superlm, teacher, text, more, tmp_path).evaluated == 11
    searched = {student for student, batch in run if batch < 3}
    assert len(searched) == 1  # only the one more
    assert len(list(tmp_path.iterdir())) == 1


def test_the_search_never_sees_what_judges_it(
    watched: tuple[MixtureReport, dict[str, set[int]]],
) -> None:
    _, seen = watched
    assert seen == {"students": {0, 1, 2}, "search": {0, 1, 2}, "confirmation": {3, 4, 5}}


def test_the_halves_of_a_text_share_no_document(text: Corpus) -> None:
    whole, halves = text.held_out, text.held_out.halves()
    assert sum(half.tokens for half in halves) == whole.tokens
    assert sum(map(len, halves)) == len(whole)
    documents = [set(half._documents.tolist()) for half in halves]
    assert not documents[0] & documents[1]
    assert documents[0] | documents[1] == set(whole._documents.tolist())
    largest = max(
        int((whole._starts[1:] - whole._starts[:-1])[whole._documents == d].sum())
        for d in documents[0] | documents[1]
    )
    assert abs(halves[0].tokens - halves[1].tokens) <= largest
    rows = {
        half: {tuple(half._row(sentence, 64)[0].tolist()) for sentence in range(len(half))}
        for half in (whole, *halves)
    }
    assert rows[halves[0]] | rows[halves[1]] == rows[whole]


def test_a_single_document_cannot_be_divided(text: Corpus) -> None:
    one = text.held_out._part(text.held_out._documents == text.held_out._documents[0])
    with pytest.raises(InvalidInput, match="single document"):
        one.halves()


def test_another_teacher_is_refused(stock_superlm: SuperLM, teacher: Teacher, text: Corpus) -> None:
    other = replace(teacher, name="other", sha256="0" * 64)
    with pytest.raises(TeacherMismatch, match="other is not the tiny-teacher that stock@1 was"):
        find_mixtures(stock_superlm, other, text, SETTINGS)


def test_a_work_folder_that_cannot_be_written_is_refused(
    stock_superlm: SuperLM, teacher: Teacher, text: Corpus, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("taken")
    with pytest.raises(InvalidInput, match="cannot be written"):
        find_mixtures(stock_superlm, teacher, text, SETTINGS, tmp_path / "file")


def test_the_rival_of_a_mixture_is_never_dearer(unbroken: MixtureReport) -> None:
    grid = points({Mixture.of(row.architecture): [row.agreement] for row in unbroken.grid})
    for row in (*unbroken.held, *unbroken.dropped):
        assert best_within(grid, row.cost.macs).agreement == pytest.approx(
            row.agreement - row.gain.mean
        )


def test_the_quality_is_that_of_the_candidate_tables(
    unbroken: MixtureReport, stock_superlm: SuperLM, teacher: Teacher, text: Corpus
) -> None:
    first, second = text.held_out.halves()
    students = [row.architecture for row in unbroken.grid]
    for half, field in ((first, "selection"), (second, "agreement")):
        batches = held_out_batches(half, rounds=1)
        found = evaluate_students(
            load_elastic(stock_superlm),
            students,
            teacher_encoder(teacher),
            teacher.architecture,
            batches,
            objective_of(stock_superlm.spec).measured,
        )
        for row in unbroken.grid:
            agreement = found[row.architecture].neighbour_agreement
            assert getattr(row, field) == pytest.approx(agreement, abs=rank_tolerance(batches))
