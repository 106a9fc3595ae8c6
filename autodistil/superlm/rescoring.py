"""A SuperLM's candidate table made anew, on other text or by a newer measure; weights stay."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from autodistil.evaluation.candidate_table import make_table
from autodistil.evaluation.held_out_text import HeldOutText, held_out_text
from autodistil.models.teacher import Teacher
from autodistil.spaces.spec import SuperLMSpec
from autodistil.superlm.bundle import CANDIDATES, CARD, SPEC, SuperLM, write_bundle_files
from autodistil.superlm.slicing import load_elastic
from autodistil.superlm.teacher_check import check_teacher
from autodistil.superlm.tokenizers import load_tokenizer
from autodistil.text.corpus import Corpus, tokenize_corpus
from autodistil.text.documents import CorpusSource
from autodistil.text.tokenization import OnProgress


def read_held_out(
    superlm: SuperLM,
    teacher: Teacher,
    source: CorpusSource,
    cache: Path,
    on_progress: OnProgress = lambda done, total: None,
) -> HeldOutText:
    """The held-out part of a corpus in the tokens of a teacher and of its students.

    Args:
        superlm: The SuperLM.
        teacher: Its teacher.
        source: The corpus.
        cache: Folder for what is tokenised.
        on_progress: See `autodistil.text.tokenization.write_tokens`.

    Raises:
        InvalidInput: The corpus cannot be read.
    """
    own = tokenize_corpus(source, teacher.tokenizer, cache, on_progress=on_progress)
    by_vocab: dict[int | None, Corpus] = {
        vocab: tokenize_corpus(
            source, load_tokenizer(superlm, vocab), cache, on_progress=on_progress
        )
        for vocab in superlm.spec.space.vocab
    }
    return held_out_text(own, by_vocab or {None: own}, teacher.longest)


def rescore(
    superlm: SuperLM,
    teacher: Teacher,
    text: HeldOutText,
    version: int,
    work: Path,
    bundle: Path,
    on_student: Callable[[int, int], None] = lambda done, total: None,
) -> SuperLM:
    """Score every student of a SuperLM on other text, and write a new bundle.

    Interrupted, the same call goes on where it was.

    Args:
        superlm: The SuperLM.
        teacher: Its teacher.
        text: The text, from `read_held_out`.
        version: Version of the new bundle; registered versions never change.
        work: Folder of the scores found so far.
        bundle: Folder of the new bundle; it must not be there yet.
        on_student: Called with how many students were scored on a batch, and will be in all.

    Raises:
        TeacherMismatch: The SuperLM was distilled from another teacher.
    """
    check_teacher(superlm, teacher)
    spec = superlm.spec
    candidates = make_table(load_elastic(superlm), spec, teacher, text, work, on_student)
    provenance = {"held_out_tokens": text.tokens, "held_out_sha256": text.sha256}
    new = SuperLMSpec.model_validate(
        {
            **spec.model_dump(),
            "version": version,
            "provenance": {**spec.provenance.model_dump(), **provenance},
        }
    )
    partial = bundle.with_name(bundle.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    ignored = shutil.ignore_patterns(SPEC, CANDIDATES, CARD)
    shutil.copytree(superlm.folder, partial, ignore=ignored)
    written = write_bundle_files(partial, new, candidates)
    partial.rename(bundle)
    return replace(written, folder=bundle)
