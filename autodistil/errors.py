"""The one hierarchy of errors.

Every error a user can cause carries an HTTP status and a problem type, so that the
command line, the API, and a failed job all report the same object (RFC 9457).
"""

from typing import Any, ClassVar

from pydantic import ValidationError


class AutoDistilError(Exception):
    """Base of every error with a message meant for the user.

    Args:
        detail: What went wrong in this case, and what to do about it.
        **members: Machine-readable members of the problem object. They must be JSON values.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Something went wrong on our side"

    def __init__(self, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.members = members

    def problem(self) -> dict[str, Any]:
        """The error as an RFC 9457 problem object, without the `type` URI's base."""
        return {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.members,
        }


class InvalidInput(AutoDistilError):
    """A value that cannot be used: a size, an option, a file."""

    status = 422
    type = "invalid-input"
    title = "The input cannot be used"


class InfeasibleBudget(AutoDistilError):
    """No student satisfies every limit of the budget."""

    status = 422
    type = "infeasible-budget"
    title = "No student fits the budget"


class UnknownDevice(AutoDistilError):
    """A latency limit names no device, or one that was never profiled."""

    status = 422
    type = "unknown-device"
    title = "No latency profile of that device"


class UnprofiledConditions(AutoDistilError):
    """A latency limit under conditions that the device was not profiled for."""

    status = 422
    type = "unprofiled-conditions"
    title = "The device has no latency profile for these conditions"


class LatencyMissed(AutoDistilError):
    """Students that were predicted to keep a latency limit did not when they were measured."""

    status = 422
    type = "latency-missed"
    title = "No student kept the latency limit when measured"


class InvalidBundle(AutoDistilError):
    """A SuperLM bundle that is incomplete, inconsistent, or hostile."""

    status = 422
    type = "invalid-bundle"
    title = "The SuperLM bundle is refused"


class UnsupportedTeacher(AutoDistilError):
    """A model that cannot be the teacher of a SuperLM."""

    status = 422
    type = "unsupported-teacher"
    title = "This model cannot be a teacher"


class TeacherUnavailable(AutoDistilError):
    """Work that needs the weights of a teacher which this service does not have."""

    status = 422
    type = "teacher-unavailable"
    title = "The teacher is not at hand"


class TeacherMismatch(AutoDistilError):
    """A model that is not the teacher that a SuperLM was distilled from."""

    status = 422
    type = "teacher-mismatch"
    title = "This is not the SuperLM's teacher"


class ParityFailure(AutoDistilError):
    """An exported student that does not compute what the SuperLM computes."""

    status = 500
    type = "parity-failure"
    title = "The exported student differs from the SuperLM"


class CheckpointMismatch(AutoDistilError):
    """A training run resumed with other settings than it was started with."""

    status = 422
    type = "checkpoint-mismatch"
    title = "The checkpoint belongs to another run"


class TrainingDiverged(AutoDistilError):
    """A training or fine-tuning whose loss is no longer a number."""

    status = 422
    type = "training-diverged"
    title = "The training diverged"


def explain(error: ValidationError) -> str:
    """The first complaint of a validation error as one line: where, and what."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    more = error.error_count() - 1
    others = f" (and {more} more)" if more else ""
    what = first["msg"].removeprefix("Value error, ")  # how pydantic begins what we say ourselves
    return f"{where + ': ' if where else ''}{what}{others}"
