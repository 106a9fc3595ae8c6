"""What mixtures gain over the students of a sub-space, on text that they were not chosen by."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from autodistil.files import read_json_model, write_json_model
from autodistil.mixtures.front import (
    Estimate,
    Point,
    Qualities,
    best_within,
    gain_over_budgets,
    pareto_front,
    points,
)
from autodistil.spaces.architecture import Architecture
from autodistil.spaces.cost import Cost
from autodistil.spaces.mixture import Mixture
from autodistil.spaces.spec import Sha256, ShortText, SuperLMSpec

CONFIDENCE = 0.95
"""Of all intervals of the proposed mixtures together (Bonferroni's correction)."""

_MAX_BYTES = 64 << 20

Finite = Annotated[float, Field(allow_inf_nan=False)]


class MixtureSettings(BaseModel):
    """Everything that decides the course of a search for mixtures, apart from models and text.

    Attributes:
        evaluations: Mixtures to measure, the students of the sub-space not counted.
        population: Mixtures of a generation.
        seed: Of the search and of the batches.
        selection_rounds: Rounds of batches that the search sees, see `held_out_batches`; what the
            teacher made of them is kept in memory, some 150 MB a round.
        confirmation_rounds: Rounds of batches, from other documents, that judge its proposals.
        proposals: Most mixtures to judge; with fewer, each is judged with more certainty.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    evaluations: Annotated[int, Field(ge=1, le=1_000_000)] = 600
    population: Annotated[int, Field(ge=4, le=10_000)] = 48
    seed: Annotated[int, Field(ge=0, le=1 << 32)] = 0
    selection_rounds: Annotated[int, Field(ge=1, le=20)] = 3
    confirmation_rounds: Annotated[int, Field(ge=1, le=1000)] = 12
    proposals: Annotated[int, Field(ge=1, le=1000)] = 8


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GridStudent(_Row):
    """A student of the sub-space.

    Attributes:
        selection: Its agreement on the batches that the search saw.
        agreement: Its agreement on the other ones.
    """

    architecture: Architecture
    macs: int
    selection: Finite
    agreement: Finite


class ProposedMixture(_Row):
    """A mixture that looked better than every student with as few MACs.

    Attributes:
        cost: What it costs.
        selection: Its agreement on the batches that the search saw.
        agreement: Its agreement on the other ones; all that follows is about these.
        rival: The best student of the sub-space with no more MACs.
        gain: How much better than `rival` it is, batch by batch.
        equal: The cheapest student that is at least as good; null if there is none.
        macs_saved: Share of the MACs of `equal` that it does without.
    """

    mixture: Mixture
    cost: Cost
    selection: Finite
    agreement: Finite
    rival: ShortText
    gain: Estimate
    equal: ShortText | None
    macs_saved: Finite | None


class MixtureReport(_Row):
    """The outcome of a search for mixtures.

    Attributes:
        superlm: `name@version`.
        weights_sha256: Hash of its weights, which outlive a new table of candidates.
        corpus_sha256: Fingerprint of the text.
        settings: The settings of the search.
        space_size: Mixtures there are, the students of the sub-space among them.
        evaluated: Mixtures measured, students not counted.
        selection_batches: Batches that the search saw.
        confirmation_batches: Batches that judged its proposals.
        confidence: Of all intervals of the proposed mixtures together, and of `gain`.
        grid: The students of the sub-space.
        held: Proposed mixtures that are surely better on the other batches too, from the fewest
            MACs on, each better than the one before.
        dropped: Proposed mixtures that are not, or that one of `held` beats.
        gain: Of choosing among students and all proposed mixtures over choosing among students: the
            mean over all budgets of MACs of the difference in agreement on the other batches.
    """

    format: Literal["autodistil-mixtures-1"] = "autodistil-mixtures-1"
    superlm: ShortText
    weights_sha256: Sha256
    teacher: ShortText
    corpus_sha256: ShortText
    settings: MixtureSettings
    space_size: int
    evaluated: int
    selection_batches: int
    confirmation_batches: int
    confidence: float = CONFIDENCE
    grid: tuple[GridStudent, ...]
    held: tuple[ProposedMixture, ...]
    dropped: tuple[ProposedMixture, ...]
    gain: Estimate


def judge(
    spec: SuperLMSpec, selection: Qualities, confirmation: Qualities, proposed: Sequence[Mixture]
) -> tuple[list[ProposedMixture], list[ProposedMixture]]:
    """Compare proposed mixtures with the students of the sub-space.

    Args:
        spec: The SuperLM.
        selection: Qualities on the batches that they were chosen by.
        confirmation: Qualities on other batches, of the proposed and of all students.
        proposed: The mixtures; all other ones of `confirmation` are students.

    Returns:
        Those that held and those that did not, see `MixtureReport`.
    """
    students = points({m: v for m, v in confirmation.items() if m not in proposed})
    selected = {p.mixture: p.agreement for p in points({m: selection[m] for m in proposed})}
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(proposed))
    rows: dict[Point, ProposedMixture] = {}
    for point in points({m: confirmation[m] for m in proposed}):
        rival = best_within(students, point.macs)
        own, others = confirmation[point.mixture], confirmation[rival.mixture]
        equal = min(
            (p for p in students if p.agreement >= point.agreement), key=_macs, default=None
        )
        rows[point] = ProposedMixture(
            mixture=point.mixture,
            cost=spec.cost_of(point.mixture),
            selection=selected[point.mixture],
            agreement=point.agreement,
            rival=_student_name(rival.mixture),
            gain=Estimate.of([a - b for a, b in zip(own, others, strict=True)], confidence),
            equal=_student_name(equal.mixture) if equal else None,
            macs_saved=1 - point.macs / equal.macs if equal else None,
        )
    held = pareto_front(point for point, row in rows.items() if row.gain.low > 0)
    dropped = sorted(set(rows) - set(held), key=_macs)
    return [rows[point] for point in held], [rows[point] for point in dropped]


def _macs(point: Point) -> tuple[int, str]:
    return point.macs, point.mixture.name


def _student_name(mixture: Mixture) -> str:
    student = mixture.uniform
    return student.name if student else mixture.name


def overall_gain(
    selection: Qualities, confirmation: Qualities, proposed: Sequence[Mixture]
) -> Estimate:
    """The gain of choosing among all proposed mixtures as well, over all budgets.

    Both choices are made by the batches of the search, so the batches they are compared on took no
    part in them.

    Args:
        selection: Qualities on the batches of the search.
        confirmation: Qualities on other batches, of the proposed and of all students.
        proposed: The mixtures; all other ones of `confirmation` are students.
    """
    grid = [mixture for mixture in confirmation if mixture not in proposed]
    return Estimate.of(gain_over_budgets(selection, confirmation, grid, proposed), CONFIDENCE)


def write_report(report: MixtureReport, path: Path) -> None:
    """Write a report as JSON; the file is whole at any time.

    Raises:
        InvalidInput: The file cannot be written.
    """
    write_json_model(report, path)


def read_report(path: Path) -> MixtureReport:
    """Read a report.

    Raises:
        InvalidInput: It is missing or holds something else.
    """
    return read_json_model(MixtureReport, path, "report on mixtures", _MAX_BYTES)
