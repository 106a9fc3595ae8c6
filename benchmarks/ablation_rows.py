"""The rows of the ablations: what each changes of the reference recipe."""

from dataclasses import dataclass, field
from typing import Any

RECIPE: dict[str, Any] = {
    "learning_rate": 3e-4,
    "batch_tokens": 2048,
    "lengths": [32, 64, 128],
    "length_weights": [6, 2, 1],
    "neighbours": 4,
    "thinned": 0.6,
}
"""The recipe from which every row differs in what it asks."""

TOKENS = 100_000
"""Tokens of every row, unless it says otherwise; 0 is the start alone."""


@dataclass(frozen=True)
class Row:
    """One training run.

    Attributes:
        question: Which of the tables it stands in.
        settings: Training settings that differ from the recipe.
        space: Name of the sub-space.
        tokens: Tokens seen.
        k: Number of sub-spaces that the space below the teacher is cut into.
        teacher_heads: Whether heads follow the `teacher` policy.
    """

    question: str
    settings: dict[str, Any] = field(default_factory=dict)
    space: str = "tiny"
    tokens: int = TOKENS
    k: int = 3
    teacher_heads: bool = False


def _start(space: str = "tiny", **changes: Any) -> Row:
    return Row("start", {"start": changes}, space, tokens=0)


ROWS: dict[str, Row] = {
    # Importance and the start, before any training.
    "start/none": _start(importance="none", permute_parts=False, least_squares=False),
    "start/channels-only": _start(permute_parts=False, least_squares=False),
    "start/magnitude": _start(least_squares=False),
    "start/variance": _start(importance="variance", least_squares=False),
    "start/columns": _start(importance="columns", least_squares=False),
    "start/least-squares": _start(),
    "start/least-squares-none": _start(importance="none", permute_parts=False),
    "start/least-squares-variance": _start(importance="variance"),
    "start/least-squares-columns": _start(importance="columns"),
    "start/least-squares-8-batches": _start(calibration_batches=8),
    "start/least-squares-64-batches": _start(calibration_batches=64),
    "start/least-squares-ridge-0.01": _start(ridge=0.01),
    "start/least-squares-ridge-1": _start(ridge=1.0),
    "start/least-squares-first-layers": _start(layers="first"),
    "start/least-squares-spaced-layers": _start(layers="spaced"),
    "start/small-magnitude": _start("small", least_squares=False),
    "start/small-least-squares": _start("small"),
    "start/base-magnitude": _start("base", least_squares=False),
    "start/base-least-squares": _start("base"),
    # The same after training.
    "recipe": Row("objective"),
    "recipe/seed-1": Row("objective", {"seed": 1}),
    "recipe/seed-2": Row("objective", {"seed": 2}),
    "start/trained-without-least-squares": Row("start", {"start": {"least_squares": False}}),
    "start/base-trained-without-least-squares": Row(
        "start", {"start": {"least_squares": False}, "learning_rate": 1e-4}, "base"
    ),
    # Loss.
    "loss/similarity-and-hidden": Row("objective", {"relation_weight": 0.0, "hidden_weight": 1.0}),
    "loss/all-three": Row("objective", {"relation_weight": 0.3, "hidden_weight": 1.0}),
    "loss/all-three-every-layer": Row(
        "objective", {"relation_weight": 0.3, "hidden_weight": 1.0, "relation_layers": "every"}
    ),
    "loss/similarity-only": Row("objective", {"relation_weight": 0.0}),
    "loss/mostly-kept-channels": Row("objective", {"relation_weight": 0.1, "channel_weight": 3.0}),
    "loss/relation-only": Row("objective", {"similarity_weight": 0.0}),
    "loss/similarity-x10": Row("objective", {"similarity_weight": 10.0}),
    "loss/mse-softmax": Row("objective", {"relation_loss": "mse-softmax"}),
    "loss/mse-scores": Row("objective", {"relation_loss": "mse-scores"}),
    "loss/temperature-0.1": Row("objective", {"temperature": 0.1}),
    "loss/heads-4": Row("objective", {"relation_heads": 4}),
    "loss/heads-32": Row("objective", {"relation_heads": 32}),
    "loss/strided": Row("objective", {"relation_split": "strided"}),
    "loss/layer-before-last": Row("objective", {"teacher_layer": -2}),
    "loss/every-layer": Row("objective", {"relation_layers": "every"}),
    "loss/hidden-relations": Row("objective", {"hidden_weight": 1.0}),
    "loss/kept-channels": Row("objective", {"channel_weight": 3.0}),
    # Sampling.
    "sampling/rows-alone": Row("sampling", {"neighbours": 1, "thinned": 0.0}),
    "sampling/neighbours-only": Row("sampling", {"neighbours": 8, "thinned": 0.0}),
    "sampling/neighbours-16": Row("sampling", {"neighbours": 16, "thinned": 0.0}),
    "sampling/neighbours-similarity-x10": Row(
        "sampling", {"neighbours": 8, "thinned": 0.0, "similarity_weight": 10.0}
    ),
    "sampling/neighbours-similarity-x10-hidden": Row(
        "sampling",
        {"neighbours": 8, "thinned": 0.0, "similarity_weight": 10.0, "hidden_weight": 1.0},
    ),
    "sampling/neighbours-rows-of-32": Row(
        "sampling", {"neighbours": 8, "thinned": 0.0, "lengths": [32], "length_weights": [1]}
    ),
    "sampling/neighbours-4096-slots": Row(
        "sampling", {"neighbours": 8, "thinned": 0.0, "batch_tokens": 4096}
    ),
    "sampling/thinned-only": Row("sampling", {"neighbours": 1}),
    "sampling/four-random": Row("sampling", {"random_students": 4}),
    "sampling/four-stratified": Row(
        "sampling", {"extremes": [], "random_students": 4, "stratified": True}
    ),
    "sampling/two-random": Row("sampling", {"extremes": [], "random_students": 2}),
    "sampling/in-place": Row("sampling", {"in_place": True}),
    "sampling/dropout": Row("sampling", {"dropout": 0.1}),
}
"""By name."""

for rate in (3e-5, 1e-4, 3e-4, 1e-3):
    for space in ("tiny", "small", "base"):
        ROWS[f"rate/{space}-{rate:g}"] = Row("rate", {"learning_rate": rate}, space)
for space in ("tiny", "small"):
    for policy, flag in (("stock", False), ("teacher", True)):
        ROWS[f"heads/{space}-{policy}"] = Row("heads", space=space, teacher_heads=flag)
_PLAIN = {"neighbours": 8, "thinned": 0.0}
_SHORT = {"lengths": [32], "length_weights": [1]}
_BASE = {**_PLAIN, **_SHORT, "learning_rate": 1e-4, "start": {"least_squares": False}}
_SMALL = {**_PLAIN, **_SHORT, "learning_rate": 1.5e-4}
ROWS |= {
    "final/tiny": Row("final", _PLAIN, tokens=200_000),
    "final/tiny-rows-of-32": Row("final", {**_PLAIN, **_SHORT}, tokens=200_000),
    "final/tiny-rows-of-16-and-32": Row(
        "final", {**_PLAIN, "lengths": [16, 32], "length_weights": [1, 1]}, tokens=200_000
    ),
    "final/tiny-cosines": Row("final", {**_PLAIN, **_SHORT, "cosine_weight": 3.0}, tokens=200_000),
    "final/small": Row("final", _SMALL, "small", 150_000),
    "final/small-cosines": Row("final", {**_SMALL, "cosine_weight": 3.0}, "small", 150_000),
    "final/small-thinned": Row(
        "final", {**_SMALL, "neighbours": 4, "thinned": 0.6}, "small", 150_000
    ),
    "final/base": Row("final", _BASE, "base"),
    "final/base-cosines": Row("final", {**_BASE, "cosine_weight": 3.0}, "base"),
}
for seed in (0, 1, 2):
    for k in (1, 2, 3):
        # Each of the K SuperLMs sees its share, so that all of a partition see the same together.
        ROWS[f"partition/k{k}-seed{seed}"] = Row("partition", {"seed": seed}, "all", 90_000, k)
