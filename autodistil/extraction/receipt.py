"""The receipt of an extraction: what was asked, what was chosen, what was handed over."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from autodistil.families.architecture import Architecture
from autodistil.latency.conditions import Conditions, DeviceName, Percentile
from autodistil.latency.machine import Machine
from autodistil.latency.measurement import Latency
from autodistil.spaces.cost import Cost
from autodistil.spaces.embedding import Pooling
from autodistil.spaces.spec import FileEntry, Sha256


class Parity(BaseModel):
    """How far the exported student is from the SuperLM with the same architecture active.

    Attributes:
        max_abs_difference: Largest difference of a value of the last hidden state, in fp32.
        tolerance: What was allowed.
        tokens: Tokens compared, padding not counted.
        seed: Of the random token ids.
        vectors_max_abs_difference: Largest difference of a value of the sentence vectors, which the
            student's own files make; null if its teacher is no sentence embedder, and of ONNX.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_abs_difference: float
    tolerance: float
    tokens: int
    seed: int
    vectors_max_abs_difference: float | None = None


class Miss(BaseModel):
    """A student that was predicted to keep a latency limit and did not when it was measured.

    Attributes:
        superlm: `name@version`.
        predicted_ms: Prediction of the limit's percentile.
        measured: What was measured in its place.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    superlm: str
    architecture: Architecture
    predicted_ms: float
    measured: Latency


class LatencyReceipt(BaseModel):
    """How a latency limit was kept.

    Attributes:
        device: Name of the device.
        limit_ms: What was asked for.
        percentile: The percentile of the runs that it limits.
        predicted_ms: Prediction of that percentile.
        extrapolated: Whether the student is smaller or larger than all that the device was profiled
            with, so that nothing says how near the prediction is.
        conditions: The conditions of prediction and measurement.
        measured: Measured with the files handed over; null where the device was not at hand.
        machine: What they were measured on.
        missed: Students measured before, which did not keep the limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: DeviceName
    limit_ms: float
    percentile: Percentile
    predicted_ms: float
    conditions: Conditions
    measured: Latency | None
    machine: Machine | None
    missed: tuple[Miss, ...] = ()
    extrapolated: bool = False


class DomainReceipt(BaseModel):
    """What a domain's own text changed.

    Attributes:
        text_sha256: Hash of the sentences.
        sentences: How many there were.
        tokens: Tokens that students were scored on.
        scored: How many students were scored on it.
        without_text: The student that the SuperLM's own table would have given.
        changed: Whether it is another one now.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text_sha256: Sha256
    sentences: int
    tokens: int
    scored: int
    without_text: str
    changed: bool


class SentenceVectors(BaseModel):
    """The sentence vectors of a student.

    Attributes:
        width: Their width.
        pooling: How they are made of token vectors.
        normalized: Whether they have length 1.
        max_seq_length: Tokens that a text may have; longer ones are cut.
        in_teacher_space: Whether they can be compared with the teacher's own vectors.
        mean_cosine_to_teacher: On held-out text, between its vector of a text and the teacher's;
            null if they are in different spaces.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int
    pooling: Pooling
    normalized: bool
    max_seq_length: int
    in_teacher_space: bool
    mean_cosine_to_teacher: float | None


class Receipt(BaseModel):
    """The receipt of one student.

    Attributes:
        superlm: `name@version`.
        superlm_sha256: Hash of the bundle's `superlm.json`, which holds all other hashes.
        teacher: Name of the teacher.
        stock: Whether plain `transformers` loads it without code of ours.
        budget: The budget as asked, or null if the architecture was named.
        limits: Its limits in absolute numbers; latency in ms.
        vector_distance: Held-out distance to the teacher's sentence vectors.
        relation_loss: Held-out relation loss.
        similarity_loss: Held-out similarity loss.
        sentence_vectors: Its sentence vectors; null if its teacher is no sentence embedder.
        files: Size and sha256 of every file of the student's folder.
        versions: Software that made it.
        onnx_parity: The same check of `model.onnx`, if the student has one.
        latency: How the limit on latency was kept, if there was one.
        hidden_relation_loss: Further held-out signals, see `autodistil.evaluation.signals`; all of
            them are those of the domain's text, if there was one.
        quality: The estimated share of the teacher's score that it keeps.
        domain: What the domain's text changed, if there was one.
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
    limits: dict[str, int | float]
    vector_distance: float | None
    relation_loss: float | None
    similarity_loss: float | None
    sentence_vectors: SentenceVectors | None
    parity: Parity
    files: dict[str, FileEntry]
    versions: dict[str, str]
    onnx_parity: Parity | None = None
    latency: LatencyReceipt | None = None
    hidden_relation_loss: float | None = None
    neighbour_agreement: float | None = None
    stranger_agreement: float | None = None
    quality: float | None = None
    domain: DomainReceipt | None = None
