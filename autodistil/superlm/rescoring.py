"""A SuperLM's candidate table made anew, on other text or by a newer measure; weights stay."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from autodistil.evaluation.candidate_table import make_table, objective_of
from autodistil.evaluation.evaluation import hash_batches, held_out_batches
from autodistil.models.teacher import Teacher
from autodistil.spaces.spec import SuperLMSpec
from autodistil.superlm.bundle import CANDIDATES, CARD, SPEC, SuperLM, write_bundle_files
from autodistil.superlm.slicing import load_elastic
from autodistil.superlm.teacher_check import check_teacher
from autodistil.text.corpus import Corpus


def rescore(
    superlm: SuperLM,
    teacher: Teacher,
    corpus: Corpus,
    version: int,
    work: Path,
    bundle: Path,
    on_student: Callable[[int, int], None] = lambda done, total: None,
) -> SuperLM:
    """Score every student of a SuperLM on the held-out part of a corpus, and write a new bundle.

    Interrupted, the same call goes on where it was.

    Args:
        superlm: The SuperLM, of any format.
        teacher: Its teacher.
        corpus: The text.
        version: Version of the new bundle; registered versions never change.
        work: Folder of the scores found so far.
        bundle: Folder of the new bundle; it must not be there yet.
        on_student: Called with how many students were scored on a batch, and will be in all.

    Raises:
        TeacherMismatch: The SuperLM was distilled from another teacher.
    """
    check_teacher(superlm, teacher)
    spec = superlm.spec
    batches = held_out_batches(corpus.held_out, longest=teacher.encoder.max_position_embeddings)
    candidates = make_table(
        load_elastic(superlm),
        spec.space,
        teacher,
        batches,
        objective_of(spec),
        work,
        on_student,
    )
    provenance = {
        "held_out_tokens": sum(batch.tokens for batch in batches),
        "held_out_sha256": hash_batches(batches),
    }
    new = SuperLMSpec.model_validate(
        {
            **spec.model_dump(exclude={"format"}),
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
