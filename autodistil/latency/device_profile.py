"""The latency profile of a device: what was measured on it, and what predicts the rest."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from autodistil.errors import UnprofiledConditions
from autodistil.families.architecture import Architecture
from autodistil.families.registry import AnyEncoder
from autodistil.files import read_json_model, write_json_model
from autodistil.latency.conditions import (
    Conditions,
    DeviceName,
    HowRun,
    LatencyLimit,
    Percentile,
    Threads,
)
from autodistil.latency.machine import Machine
from autodistil.latency.measurement import Effort, Latency
from autodistil.latency.predictor import FEWEST, Prediction, Predictor, Sizes, outside_range

_MAX_BYTES = 16 << 20
_Error = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class AskedConditions(HowRun):
    """Conditions to profile a device under.

    Attributes:
        threads: None: as many as the device's workers use.
    """

    threads: Threads | None = None

    def with_threads(self, default: int) -> Conditions:
        """The conditions, with so many threads if none are asked for."""
        return Conditions(**self.how.model_dump(), threads=self.threads or default)


class ProfilingRequest(BaseModel):
    """How a device is to be profiled.

    Attributes:
        conditions: Each of these is measured with all students.
        students: How many are drawn from the sub-spaces at hand; all if there are fewer.
        effort: How long is measured under each of the conditions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    conditions: Annotated[tuple[AskedConditions, ...], Field(min_length=1, max_length=100)] = (
        AskedConditions(),
    )
    students: Annotated[int, Field(gt=FEWEST, le=1000)] = 48
    effort: Effort = Effort()


class Sample(BaseModel):
    """A measured student."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: Architecture
    latency: Latency


class ConditionsProfile(BaseModel):
    """What is known under one set of conditions.

    Attributes:
        conditions: The conditions.
        samples: The students measured.
        predictor: Fitted to them.
        median_error: Median of the relative errors of their predicted medians, each predicted
            from the others.
        p90_error: 90th percentile of the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    conditions: Conditions
    samples: Annotated[tuple[Sample, ...], Field(min_length=FEWEST, max_length=10_000)]
    predictor: Predictor
    median_error: _Error
    p90_error: _Error

    def predict(self, students: Sequence[Sizes], percentile: Percentile = 50) -> list[Prediction]:
        """What students would take, and which of them are unlike all that were measured."""
        milliseconds = self.predictor.predict(students, percentile)
        outside = outside_range(students, [sample.architecture for sample in self.samples])
        return list(map(Prediction, milliseconds, outside))

    def summary(self) -> dict[str, Any]:
        """Without the samples, as JSON values; with the range of medians that they span."""
        medians = [sample.latency.p50_ms for sample in self.samples]
        return {
            **self.model_dump(mode="json", exclude={"samples", "predictor"}),
            "students": len(self.samples),
            "least_p50_ms": min(medians),
            "most_p50_ms": max(medians),
        }


class DeviceProfile(BaseModel):
    """The latency profile of a device.

    Attributes:
        name: Name of the device.
        machine: The machine it was measured on.
        encoder: Vocabulary and activation of the students measured.
        effort: How long was measured.
        seed: Of the sample, the order, and the weights.
        created_at: When the measuring ended, ISO 8601.
        profiled: What is known under each set of conditions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["autodistil-device-1"] = "autodistil-device-1"
    name: DeviceName
    machine: Machine
    encoder: AnyEncoder
    effort: Effort
    seed: int
    created_at: Annotated[str, Field(max_length=40)]
    profiled: Annotated[tuple[ConditionsProfile, ...], Field(min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        conditions = [profile.conditions for profile in self.profiled]
        if len(set(conditions)) < len(conditions):
            raise ValueError("the same conditions stand twice in the profile")
        return self

    def under(self, limit: LatencyLimit) -> ConditionsProfile:
        """What is known under the conditions of a limit.

        Raises:
            UnprofiledConditions: Names the conditions that are known.
        """
        found = [
            profile
            for profile in self.profiled
            if profile.conditions.how == limit.how
            and limit.threads in (None, profile.conditions.threads)
        ]
        if not found:
            known = [profile.conditions for profile in self.profiled]
            threads = "" if limit.threads is None else f", {limit.threads} threads"
            raise UnprofiledConditions(
                f"The device {self.name!r} has no latency profile for {limit.how}{threads}; "
                f"it has: {'; '.join(map(str, known))}.",
                device=self.name,
                conditions=[conditions.model_dump(mode="json") for conditions in known],
            )
        return max(found, key=lambda profile: profile.conditions.threads)

    def slowed(self, conditions: Conditions, factor: float) -> Self:
        """The same profile, with predictions under some conditions `factor` times as long."""
        profiled = tuple(
            profile.model_copy(update={"predictor": profile.predictor.slowed(factor)})
            if profile.conditions == conditions
            else profile
            for profile in self.profiled
        )
        return self.model_copy(update={"profiled": profiled})

    def summary(self) -> dict[str, Any]:
        """Without the samples, as JSON values."""
        return {
            **self.model_dump(mode="json", exclude={"profiled"}),
            "profiled": [profile.summary() for profile in self.profiled],
        }


def write_profile(profile: DeviceProfile, path: Path) -> None:
    """Write a profile as a JSON file; it appears only when it is whole.

    Raises:
        InvalidInput: The file cannot be written.
    """
    write_json_model(profile, path)


def read_profile(path: Path) -> DeviceProfile:
    """Read a profile and check it.

    Raises:
        InvalidInput: Says what is wrong with the file.
    """
    return read_json_model(DeviceProfile, path, "device profile", _MAX_BYTES)
