"""Students of a SuperLM as folders, without the checks of an extraction."""

from pathlib import Path

from autodistil.evaluation.candidates import Candidate
from autodistil.extraction.export import export_transformers
from autodistil.spaces.embedding import Vectors
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.slicing import slice_map, slice_student


def export(
    superlm: SuperLM, folder: Path, index: int = 0, vectors: Vectors = Vectors.TEACHER
) -> Candidate:
    """Write a student by its place in the candidate table."""
    candidate = superlm.candidates[index]
    architecture = candidate.architecture
    to_teacher = slice_map(superlm, architecture) if vectors is Vectors.TEACHER else None
    tensors = slice_student(superlm, architecture)
    export_transformers(superlm, candidate, tensors, to_teacher, folder)
    return candidate
