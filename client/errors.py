"""What goes wrong between a client and the service."""

from typing import Any

from autodistil.errors import AutoDistilError


class ApiProblem(AutoDistilError):
    """A problem that the service answered with, or that a job ended with.

    Args:
        problem: The RFC 9457 object.
    """

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(str(problem.get("detail", "The service gave no reason.")))
        self._problem = problem
        self.members = {
            name: value
            for name, value in problem.items()
            if name not in ("type", "title", "status", "detail")
        }

    @property
    def kind(self) -> str:
        """The last part of the problem's type, such as `infeasible-budget`."""
        return str(self._problem.get("type", "")).rsplit("/", 1)[-1]

    @property
    def status(self) -> int:  # type: ignore[override]  # each problem has its own
        """The HTTP status that belongs to the problem."""
        status = self._problem.get("status")
        return status if isinstance(status, int) else 500

    def problem(self) -> dict[str, Any]:
        """The problem object as the service sent it."""
        return self._problem


class ServiceUnreachable(AutoDistilError):
    """The service does not answer, or what it answers cannot be used."""

    status = 503
    type = "unreachable"
    title = "The service does not answer"


class NotEndedInTime(ServiceUnreachable):
    """Work that goes on in the service, but longer than the client wanted to wait."""

    status = 504
    type = "not-ended-in-time"
    title = "The work has not ended in time"


class DamagedDownload(ServiceUnreachable):
    """A file that arrived with another hash than the service said."""

    status = 502
    type = "damaged-download"
    title = "The file arrived damaged"


class Disconnected(Exception):
    """A connection that could not be made, or broke; whoever sent the request may repeat it.

    Args:
        detail: What happened, for the user.
        sent: Whether the request may have reached the service.
    """

    def __init__(self, detail: str, sent: bool) -> None:
        super().__init__(detail)
        self.detail, self.sent = detail, sent
