"""The receipt of an extraction: what was asked, what was chosen, what was handed over."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from autodistil.architecture import Architecture
from autodistil.cost import Cost
from autodistil.spec import FileEntry


class Parity(BaseModel):
    """How far the exported student is from the SuperLM with the same architecture active.

    Attributes:
        max_abs_difference: Largest difference of a value of the last hidden state, in fp32.
        tolerance: What was allowed.
        tokens: Tokens compared, padding not counted.
        seed: Of the random token ids.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_abs_difference: float
    tolerance: float
    tokens: int
    seed: int


class Receipt(BaseModel):
    """The receipt of one student.

    Attributes:
        superlm: `name@version`.
        superlm_sha256: Hash of the bundle's `superlm.json`, which holds all other hashes.
        teacher: Name of the teacher.
        stock: Whether plain `transformers` loads it without code of ours.
        budget: The budget as asked, or null if the architecture was named.
        limits: Its limits in absolute numbers.
        relation_loss: Held-out relation loss.
        similarity_loss: Held-out similarity loss.
        files: Size and sha256 of every file of the student's folder.
        versions: Software that made it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    superlm: str
    superlm_sha256: str
    teacher: str
    architecture: Architecture
    sub_space: str
    stock: bool
    cost: Cost
    budget: dict[str, Any] | None
    limits: dict[str, int]
    relation_loss: float | None
    similarity_loss: float | None
    parity: Parity
    files: dict[str, FileEntry]
    versions: dict[str, str]
