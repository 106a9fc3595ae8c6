"""The spec of a SuperLM bundle: what `superlm.json` says, and must not contradict."""

import hashlib
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from autodistil.spaces.architecture import Architecture, SubSpace
from autodistil.spaces.cost import Cost, cost
from autodistil.spaces.tensors import EncoderConfig

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Layers = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(fail_fast=True)]
ShortText = Annotated[str, Field(max_length=500)]


Setting = bool | str | int | float | tuple[str | int | float, ...] | None
"""What a training setting may be."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(_Strict):
    """Size and hash of a file."""

    sha256: Sha256
    size_bytes: Annotated[int, Field(strict=True, ge=0)]

    @classmethod
    def of(cls, path: Path) -> Self:
        """Size and hash of a file on disk."""
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(sha256=sha256, size_bytes=path.stat().st_size)


class TeacherSpec(_Strict):
    """The teacher a SuperLM was distilled from."""

    name: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,500}$")]  # a line of model cards
    sha256: Sha256
    architecture: Architecture


class Provenance(_Strict):
    """How a SuperLM came to be.

    Attributes:
        corpus: What it was trained on, in words.
        corpus_sha256: Fingerprint of the corpus files.
        tokens_seen: Tokens trained on, padding not counted.
        steps: Optimizer steps.
        settings: The training settings, as they were.
        held_out_tokens: Tokens that the candidates' signals were measured on.
        held_out_sha256: Hash of those tokens, row by row: signals of SuperLMs can be compared if it
            is the same; null in bundles of the first format.
        versions: Versions of the software that trained it.
        created_at: When the bundle was written, ISO 8601.
    """

    corpus: ShortText
    corpus_sha256: Sha256
    tokens_seen: Annotated[int, Field(strict=True, ge=0)]
    steps: Annotated[int, Field(strict=True, ge=0)]
    settings: dict[ShortText, Setting | dict[ShortText, Setting]]
    held_out_tokens: Annotated[int, Field(strict=True, ge=0)]
    held_out_sha256: Sha256 | None = None
    versions: dict[ShortText, ShortText]
    created_at: ShortText


class SuperLMSpec(_Strict):
    """The spec of a bundle.

    Attributes:
        format: Since the second one, candidate tables hold all of `autodistil.evaluation.signals`.
        kept_layers: For every depth, the stored layers that a student of that depth runs.
        teacher_layers: For every stored layer, the teacher's layer it started from.
        pooling: `mean` if the teacher is a sentence embedder that averages token vectors.
        files: Every other file of the bundle.
    """

    format: Literal["autodistil-superlm-1", "autodistil-superlm-2"] = "autodistil-superlm-2"
    name: Name
    version: Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
    teacher: TeacherSpec
    encoder: EncoderConfig
    space: SubSpace
    kept_layers: dict[int, Layers]
    teacher_layers: Layers
    pooling: Literal["mean"] | None
    files: dict[ShortText, FileEntry]
    provenance: Provenance

    @model_validator(mode="after")
    def _check(self) -> Self:
        largest, teacher = self.space.largest, self.teacher.architecture
        for axis in ("layers", "hidden"):
            if getattr(largest, axis) > getattr(teacher, axis):
                raise ValueError(f"the largest student has more {axis} than its teacher")
        if len(self.teacher_layers) != largest.layers:
            raise ValueError(f"teacher_layers must name {largest.layers} layers")
        if tuple(self.kept_layers) != self.space.layers:
            raise ValueError(f"kept_layers must list the depths {list(self.space.layers)}")
        for depth, layers in self.kept_layers.items():
            if len(layers) != depth or list(layers) != sorted(set(layers)):
                raise ValueError(f"kept_layers of depth {depth} must be {depth} rising layers")
            if layers[-1] != largest.layers - 1:
                raise ValueError("every depth must keep the last layer")
        for less, more in pairwise(self.kept_layers.values()):
            if not set(less) < set(more):
                raise ValueError("the layers of a depth must be among those of the next")
        return self

    @property
    def reference(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    @property
    def teacher_cost(self) -> Cost:
        """What the teacher costs: the whole of which relative limits are shares."""
        return self.cost_of(self.teacher.architecture)

    def cost_of(self, sizes: Architecture) -> Cost:
        """What an encoder of these sizes costs, with the vocabulary of all students."""
        return cost(sizes, self.encoder, self.teacher.architecture.heads)
