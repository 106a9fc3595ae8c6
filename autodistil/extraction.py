"""From a choice to a checked student on disk: slice, export, verify."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from autodistil.budget import Budget
from autodistil.candidates import Candidate
from autodistil.export import check_parity, export_transformers
from autodistil.receipt import Receipt
from autodistil.slicing import load_elastic, slice_student
from autodistil.superlm import SuperLM
from autodistil.versions import software_versions

if TYPE_CHECKING:
    from autodistil.elastic import ElasticEncoder

PHASES = ("slicing", "exporting", "verifying")


def extract_student(
    superlm: SuperLM,
    candidate: Candidate,
    folder: Path,
    budget: Budget | None = None,
    limits: dict[str, int] | None = None,
    on_phase: Callable[[str], None] = lambda phase: None,
) -> Receipt:
    """Slice a student, export it to `folder`, and check it against the SuperLM.

    Args:
        superlm: The SuperLM.
        candidate: The student to hand over.
        folder: An empty or missing folder.
        budget: What was asked for, kept in the receipt.
        limits: The budget in absolute numbers, kept in the receipt.
        on_phase: Called with the name of each of `PHASES` as it begins; may raise to stop.

    Raises:
        ParityFailure: The student does not load cleanly or computes something else.
        InvalidBundle: The weights cannot be read.
    """
    architecture = candidate.architecture
    on_phase("slicing")
    tensors = slice_student(superlm, architecture)
    on_phase("exporting")
    files = export_transformers(superlm, candidate, tensors, folder)
    on_phase("verifying")
    parity = check_parity(superlm, architecture, folder, _reference(superlm))
    return Receipt(
        superlm=superlm.spec.reference,
        superlm_sha256=superlm.sha256,
        teacher=superlm.spec.teacher.name,
        architecture=architecture,
        sub_space=candidate.sub_space,
        stock=candidate.stock,
        cost=candidate.cost,
        budget=budget.model_dump(mode="json", exclude_none=True) if budget else None,
        limits=limits or {},
        relation_loss=candidate.relation_loss,
        similarity_loss=candidate.similarity_loss,
        parity=parity,
        files=files,
        versions=software_versions(),
    )


_loaded: dict[str, "ElasticEncoder"] = {}


def _reference(superlm: SuperLM) -> "ElasticEncoder":
    """The SuperLM's weights, kept for the next extraction: a worker serves one again and again."""
    if superlm.sha256 not in _loaded:
        _loaded.clear()
        _loaded[superlm.sha256] = load_elastic(superlm)
    return _loaded[superlm.sha256]
