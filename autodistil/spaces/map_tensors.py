"""Names and shapes of the maps that bring students' sentence vectors to the teacher's width."""

from autodistil.families.architecture import Architecture


def map_name(architecture: Architecture) -> str:
    """Name of the map of the students of this depth and width, in a finished SuperLM."""
    return f"map.L{architecture.layers}-H{architecture.hidden}"


def map_shapes(architecture: Architecture, width: int) -> dict[str, tuple[int, ...]]:
    """Name and shape of the tensors of a map from a student's width to another.

    The names are those of a Dense module of sentence-transformers.
    """
    return {"linear.weight": (width, architecture.hidden), "linear.bias": (width,)}
