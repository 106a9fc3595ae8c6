"""Requests and answers about devices."""

import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from autodistil.errors import AutoDistilError
from autodistil.latency.conditions import Conditions
from autodistil.latency.device_profile import DeviceProfile, ProfilingRequest
from autodistil.latency.machine import Machine
from autodistil.latency.measurement import Effort
from database import devices
from database.tables import DeviceRow, DeviceState
from service.problems import Problem, problem_object


class ProfiledConditions(BaseModel):
    """What was measured under one set of conditions, and how well it predicts the unmeasured.

    The errors are relative, of students that their predictor did not see.
    """

    conditions: Conditions
    students: int
    least_p50_ms: float
    most_p50_ms: float
    median_error: float
    p90_error: float


class ProfileSummary(BaseModel):
    """A latency profile without its measurements."""

    model_config = ConfigDict(extra="ignore")

    machine: Machine
    effort: Effort
    created_at: str
    profiled: list[ProfiledConditions]


class Device(BaseModel):
    """A device, its profile if it has one, and the profiling that was last asked for."""

    name: str
    state: DeviceState
    percent: int
    request: ProfilingRequest
    profile: ProfileSummary | None
    problem: Problem | None
    requested_at: datetime.datetime
    started_at: datetime.datetime | None
    finished_at: datetime.datetime | None

    @classmethod
    def of(cls, row: DeviceRow) -> Self:
        """From its row; a stored profile that cannot be read is null, and the problem says why."""
        same = ("name", "state", "percent", "request", "requested_at", "started_at", "finished_at")
        fields = {name: getattr(row, name) for name in same}
        problem = row.problem
        try:
            profile = devices.read_profile(row)
        except AutoDistilError as error:
            profile, problem = None, problem or error.problem()
        fields["profile"] = cls.show(profile) if profile else None
        fields["problem"] = problem_object(problem) if problem else None
        return cls.model_validate(fields)

    @classmethod
    def show(cls, profile: DeviceProfile) -> dict[str, Any]:
        """What is shown of a profile."""
        return profile.summary()


class DeviceDetail(Device):
    """A device with its whole profile: measurements, and the prices fitted to them."""

    profile: DeviceProfile | None  # type: ignore[assignment]  # whole in place of its summary

    @classmethod
    def show(cls, profile: DeviceProfile) -> dict[str, Any]:
        """All of it."""
        return profile.model_dump(mode="json")


class DeviceList(BaseModel):
    """All devices."""

    items: list[Device]
    next_cursor: None = None
