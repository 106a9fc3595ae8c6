"""From a choice to a checked student on disk: slice, export, verify."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from autodistil.evaluation.candidates import Candidate
from autodistil.evaluation.signals import Signals
from autodistil.extraction.export import export_transformers
from autodistil.extraction.onnx_graph import ONNX_FILE, write_onnx
from autodistil.extraction.onnx_runtime import check_onnx_parity
from autodistil.extraction.parity import check_parity
from autodistil.extraction.receipt import Receipt, SentenceVectors
from autodistil.search.budget import Budget
from autodistil.spaces.embedding import Vectors
from autodistil.spaces.spec import FileEntry
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.slicing import load_elastic, slice_map, slice_student
from autodistil.versions import software_versions

if TYPE_CHECKING:
    from autodistil.models.elastic import ElasticEncoder

PHASES = ("slicing", "exporting", "verifying")


def extract_student(
    superlm: SuperLM,
    candidate: Candidate,
    folder: Path,
    budget: Budget | None = None,
    limits: dict[str, int | float] | None = None,
    vectors: Vectors = Vectors.TEACHER,
    on_phase: Callable[[str], None] = lambda phase: None,
) -> Receipt:
    """Slice a student, export it to `folder`, and check it against the SuperLM.

    A budget that limits the latency under onnxruntime adds `model.onnx` to the folder.

    Args:
        superlm: The SuperLM.
        candidate: The student to hand over.
        folder: An empty or missing folder.
        budget: What was asked for, kept in the receipt.
        limits: The budget in absolute numbers, kept in the receipt.
        vectors: Whether its sentence vectors are brought to its teacher's space.
        on_phase: Called with the name of each of `PHASES` as it begins; may raise to stop.

    Raises:
        ParityFailure: The student does not load cleanly or computes something else.
        InvalidInput: It is wanted as ONNX and a package for that is missing.
        InvalidBundle: The weights cannot be read.
    """
    architecture = candidate.architecture
    on_phase("slicing")
    tensors = slice_student(superlm, architecture)
    on_phase("exporting")
    to_teacher = slice_map(superlm, architecture) if vectors is Vectors.TEACHER else None
    files = export_transformers(superlm, candidate, tensors, to_teacher, folder)
    with_onnx = bool(budget and budget.latency and budget.latency.runtime == "onnxruntime")
    if with_onnx:
        write_onnx(architecture, superlm.spec.encoder, tensors, folder / ONNX_FILE)
        files[ONNX_FILE] = FileEntry.of(folder / ONNX_FILE)
    on_phase("verifying")
    reference = _reference(superlm)
    parity = check_parity(superlm, architecture, folder, reference, vectors)
    onnx_parity = check_onnx_parity(superlm, architecture, folder, reference) if with_onnx else None
    return Receipt(
        superlm=superlm.spec.reference,
        superlm_sha256=superlm.sha256,
        teacher=superlm.spec.teacher.name,
        architecture=architecture,
        sub_space=candidate.sub_space,
        stock=candidate.stock,
        cost=superlm.spec.cost_of(architecture, mapped=to_teacher is not None),
        budget=budget.model_dump(mode="json", exclude_none=True) if budget else None,
        limits=limits or {},
        **{name: getattr(candidate, name) for name in Signals.model_fields},
        quality=candidate.quality,
        sentence_vectors=_sentence_vectors(superlm, candidate, to_teacher is not None),
        parity=parity,
        files=files,
        versions=software_versions(),
        onnx_parity=onnx_parity,
    )


def _sentence_vectors(
    superlm: SuperLM, candidate: Candidate, mapped: bool
) -> SentenceVectors | None:
    embedding = superlm.spec.teacher.embedding
    if embedding is None:
        return None
    in_space = mapped or superlm.spec.map_width is None
    distance = candidate.vector_distance
    return SentenceVectors(
        width=embedding.width if in_space else candidate.hidden,
        pooling=embedding.pooling,
        normalized=embedding.normalize,
        max_seq_length=embedding.max_seq_length,
        in_teacher_space=in_space,
        mean_cosine_to_teacher=1 - distance if in_space and distance is not None else None,
    )


_loaded: dict[str, "ElasticEncoder"] = {}


def _reference(superlm: SuperLM) -> "ElasticEncoder":
    """The SuperLM's weights, kept for the next extraction: a worker serves one again and again."""
    if superlm.sha256 not in _loaded:
        _loaded.clear()
        _loaded[superlm.sha256] = load_elastic(superlm)
    return _loaded[superlm.sha256]
