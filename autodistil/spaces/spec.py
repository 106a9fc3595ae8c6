"""The spec of a SuperLM bundle: what `superlm.json` says, and must not contradict."""

import hashlib
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from autodistil.families.architecture import Architecture
from autodistil.families.encoder import EncoderConfig
from autodistil.families.registry import AnyEncoder
from autodistil.spaces.cost import Cost, cost, text_length
from autodistil.spaces.embedding import SentenceEmbedding
from autodistil.spaces.map_tensors import map_name, map_shapes
from autodistil.spaces.sub_space import SubSpace

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
    """The teacher a SuperLM was distilled from.

    Attributes:
        name: What requests call it.
        sha256: Hash over its weights.
        architecture: Its sizes; with its own vocabulary where its students' is smaller.
        embedding: How it embeds sentences, as its students do; None if it does not.
    """

    name: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,500}$")]  # a line of model cards
    sha256: Sha256
    architecture: Architecture
    embedding: SentenceEmbedding | None


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
            is the same.
        versions: Versions of the software that trained it.
        created_at: When the bundle was written, ISO 8601.
    """

    corpus: ShortText
    corpus_sha256: Sha256
    tokens_seen: Annotated[int, Field(strict=True, ge=0)]
    steps: Annotated[int, Field(strict=True, ge=0)]
    settings: dict[ShortText, Setting | dict[ShortText, Setting]]
    held_out_tokens: Annotated[int, Field(strict=True, ge=0)]
    held_out_sha256: Sha256
    versions: dict[ShortText, ShortText]
    created_at: ShortText


FORMAT: Literal["autodistil-superlm-3"] = "autodistil-superlm-3"


class SuperLMSpec(_Strict):
    """The spec of a bundle.

    Attributes:
        format: Of the bundle.
        encoder: The model family, and what the students share with their teacher; its vocabulary is
            the largest of theirs.
        kept_layers: For every depth, the stored layers that a student of that depth runs.
        teacher_layers: For every stored layer, the teacher's layer it started from.
        tokens_per_text: For every vocabulary of the sub-space, the tokens of a text as a multiple
            of the teacher's, measured on the held-out text.
        files: Every other file of the bundle.
    """

    format: Literal["autodistil-superlm-3"] = FORMAT
    name: Name
    version: Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
    teacher: TeacherSpec
    encoder: AnyEncoder
    space: SubSpace
    kept_layers: dict[int, Layers]
    teacher_layers: Layers
    tokens_per_text: dict[int, Annotated[float, Field(ge=0.5, le=100)]]
    files: dict[ShortText, FileEntry]
    provenance: Provenance

    @model_validator(mode="before")
    @classmethod
    def _check_format(cls, content: Any) -> Any:
        found = content.get("format", FORMAT) if isinstance(content, dict) else FORMAT
        if found != FORMAT:
            raise ValueError(
                f"this bundle has the format {str(found)[:50]!r}, this version reads {FORMAT!r} "
                "alone; train the SuperLM anew"
            )
        return content

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
        self.encoder.check_layers(teacher.layers)
        if max(self.teacher_layers) >= teacher.layers:
            raise ValueError("teacher_layers must be layers of the teacher")
        if largest.vocab not in (None, self.encoder.vocab_size):
            raise ValueError("the encoder's vocab_size must be the largest vocabulary")
        if tuple(self.tokens_per_text) != self.space.vocab:
            raise ValueError(f"tokens_per_text must list {list(self.space.vocab)}")
        if self.space.vocab and self.encoder.pad_token_id >= self.space.vocab[0]:
            raise ValueError("pad_token_id must be in every vocabulary")
        return self

    @property
    def stored_encoder(self) -> EncoderConfig:
        """The encoder of the stored layers."""
        return self.encoder.keep_layers(self.teacher_layers)

    def encoder_of(self, architecture: Architecture) -> EncoderConfig:
        """The encoder of a student's layers."""
        return self.stored_encoder.keep_layers(self.kept_layers[architecture.layers])

    @property
    def map_width(self) -> int | None:
        """The width that the students' maps bring their vectors to; None if they have no map, since
        all of them are as wide as what their teacher pools and hands out.
        """
        embedding = self.teacher.embedding
        if embedding is None:
            return None
        as_wide = self.space.hidden == (embedding.width,)
        return embedding.width if embedding.projected or not as_wide else None

    @property
    def stored_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor that the bundle stores."""
        shapes = self.stored_encoder.shapes(self.space.largest)
        if self.map_width is None:
            return shapes
        for student in self.space.students():
            shapes |= {
                f"{map_name(student)}.{name.removeprefix('linear.')}": shape
                for name, shape in map_shapes(student, self.map_width).items()
            }
        return shapes

    @property
    def reference(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    @property
    def teacher_cost(self) -> Cost:
        """What the teacher costs: the whole of which relative limits are shares."""
        teacher = self.teacher.architecture
        return cost(teacher, self.encoder, teacher.heads)

    def cost_of(self, architecture: Architecture, mapped: bool = True) -> Cost:
        """What a student costs.

        Args:
            architecture: The student.
            mapped: Whether it has its map to the teacher's width, where there is one.
        """
        per_text = self.tokens_per_text.get(architecture.vocab or 0, 1.0)
        return cost(
            architecture,
            self.encoder,
            self.teacher.architecture.heads,
            text_length(per_text),
            self.map_width if mapped else None,
        )
