from pathlib import Path

import pytest

from autodistil.errors import InvalidBundle, TeacherMismatch
from autodistil.evaluation.candidate_table import SCORES, objective_of
from autodistil.evaluation.held_out_text import HeldOutText
from autodistil.models.teacher import Teacher, load_teacher
from autodistil.spaces.spec import SuperLMSpec
from autodistil.superlm.bundle import SuperLM, open_superlm
from autodistil.superlm.rescoring import read_held_out, rescore
from autodistil.text.text_files import TextFiles
from tests.factories import SETTINGS, write_corpus, write_teacher
from tests.ranks import assert_same_signals, rank_tolerance


@pytest.fixture(scope="module")
def held_out(
    stock_superlm: SuperLM,
    teacher: Teacher,
    corpus_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> HeldOutText:
    """The text that the shared bundles were scored on."""
    cache = tmp_path_factory.mktemp("rescoring")
    return read_held_out(stock_superlm, teacher, TextFiles(corpus_folder), cache)


def test_students_with_less_words_are_scored_in_their_own_tokens(
    embedder_superlm: SuperLM, embedder: Teacher, corpus_folder: Path, tmp_path: Path
) -> None:
    text = read_held_out(embedder_superlm, embedder, TextFiles(corpus_folder), tmp_path / "cache")
    assert set(text.by_vocab) == {80, 120}
    assert text.sha256 == embedder_superlm.spec.provenance.held_out_sha256
    written = rescore(embedder_superlm, embedder, text, 2, tmp_path / "work", tmp_path / "new")
    assert written.spec.tokens_per_text == embedder_superlm.spec.tokens_per_text
    ranks = rank_tolerance(text.own)
    for old, new in zip(embedder_superlm.candidates, written.candidates, strict=True):
        assert old.signals is not None
        assert new.signals is not None
        before, after = (s.model_dump(exclude_none=True) for s in (old.signals, new.signals))
        assert_same_signals(after, before, ranks)


def test_the_same_text_gives_the_same_table_under_a_new_version(
    stock_superlm: SuperLM, teacher: Teacher, held_out: HeldOutText, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    written = rescore(
        stock_superlm,
        teacher,
        held_out,
        2,
        tmp_path / "work",
        tmp_path / "new",
        lambda *now: told.append(now),
    )
    assert written == open_superlm(tmp_path / "new")
    assert written.spec.reference == "stock@2"
    assert (
        written.spec.files["weights.safetensors"] == stock_superlm.spec.files["weights.safetensors"]
    )
    ranks = rank_tolerance(held_out.own)
    for old, new in zip(stock_superlm.candidates, written.candidates, strict=True):
        assert old.architecture == new.architecture
        assert old.signals is not None
        assert new.signals is not None
        before, after = (s.model_dump(exclude_none=True) for s in (old.signals, new.signals))
        assert_same_signals(after, before, ranks)
    assert told[-1][0] == told[-1][1] == len(told)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "work"]
    assert len((tmp_path / "work" / SCORES).read_text().splitlines()) == len(told) + 1


def test_other_text_gives_other_signals_and_says_how_much_it_was(
    stock_superlm: SuperLM, teacher: Teacher, tmp_path: Path
) -> None:
    source = TextFiles(write_corpus(tmp_path / "corpus", seed=9))
    other = read_held_out(stock_superlm, teacher, source, tmp_path / "cache")
    written = rescore(stock_superlm, teacher, other, 7, tmp_path / "work", tmp_path / "new")
    assert [c.quality for c in written.candidates] != [c.quality for c in stock_superlm.candidates]
    assert written.spec.provenance.held_out_tokens != stock_superlm.spec.provenance.held_out_tokens
    assert written.spec.provenance.tokens_seen == stock_superlm.spec.provenance.tokens_seen


def test_settings_of_another_time_do_no_harm_but_impossible_ones_are_refused(
    stock_superlm: SuperLM,
) -> None:
    spec = stock_superlm.spec
    assert objective_of(spec) == SETTINGS.measured

    def changed(**settings: object) -> SuperLMSpec:
        own = {**spec.provenance.settings, **settings}
        provenance = spec.provenance.model_copy(update={"settings": own})
        return spec.model_copy(update={"provenance": provenance})

    assert objective_of(changed(forgotten_option=3, in_place="yes")) == objective_of(spec)
    with pytest.raises(InvalidBundle, match="settings of stock@1: relation_heads"):
        objective_of(changed(relation_heads=0))


def test_another_teacher_is_refused(
    stock_superlm: SuperLM, held_out: HeldOutText, tmp_path: Path
) -> None:
    other = load_teacher(str(write_teacher(tmp_path / "tiny-teacher", seed=1)))
    with pytest.raises(TeacherMismatch):
        rescore(stock_superlm, other, held_out, 2, tmp_path / "work", tmp_path / "new")
    assert not (tmp_path / "new").exists()
