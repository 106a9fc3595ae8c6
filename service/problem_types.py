"""Problems of HTTP itself, and the pages that explain every type of problem.

The pages are those of docs/problems; an installed service carries them with it.
"""

from functools import cache
from pathlib import Path

from autodistil.errors import AutoDistilError

PROBLEM_TYPES = "/problems/"
"""What every `type` begins with: a path of the service itself, see docs/decisions/0021."""

PAGES = Path(__file__).parent / "problem_pages"


class InvalidRequest(AutoDistilError):
    """A request whose parameters or body are not what the operation takes."""

    status = 422
    type = "invalid-request"
    title = "The request is not valid"


class MethodNotAllowed(AutoDistilError):
    """A path that is there, but not with this method."""

    status = 405
    type = "method-not-allowed"
    title = "No such method here"


class TooLarge(AutoDistilError):
    """A request with a longer body than the operation takes."""

    status = 413
    type = "too-large"
    title = "The request is too large"


class Unavailable(AutoDistilError):
    """A part of the service, such as the database, does not answer."""

    status = 503
    type = "unavailable"
    title = "The service cannot work right now"


@cache
def page_names() -> frozenset[str]:
    """The types that have a page."""
    return frozenset(path.stem for path in PAGES.glob("*.md"))


def read_page(name: str) -> str:
    """The page of a type of problem, or `index`, as Markdown."""
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")
