"""How a registration begins: its source is checked, its row and audit entry are written."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

from autodistil.errors import InvalidInput
from database import audit, registrations
from database.tables import RegistrationRow
from service.dependencies import Parts
from worker.queue import send_registration


def begin(
    session: Session, registration_id: str, source: dict[str, Any], api_key_id: str
) -> RegistrationRow:
    """Queue a registration.

    Args:
        session: A session; the row appears when it commits.
        registration_id: From `database.tables.new_id`.
        source: `path`, `url` and `sha256`, or `upload` (the hash of the archive).
        api_key_id: Whose key asks.
    """
    row = registrations.create(session, registration_id, source, api_key_id)
    audit.record(
        session,
        api_key_id,
        audit.Action.SUPERLM_REGISTER,
        registration_id,
        **shown_source(source),
    )
    return row


def tell_workers(parts: Parts, registration_id: str) -> None:
    """Send a message about a registration that has been committed."""
    if send_registration(parts.celery, registration_id):
        with parts.sessions.begin() as session:
            registrations.mark_sent(session, registration_id)


def shown_source(source: dict[str, Any]) -> dict[str, Any]:
    """A source without what may be secret: the query of a URL often is a signature."""
    if "url" not in source:
        return source
    return {**source, "url": urlsplit(source["url"])._replace(query="").geturl()}


def check_path(path: Path, roots: list[Path]) -> Path:
    """A server-side path that the operator allows bundles to come from.

    Raises:
        InvalidInput: It is relative, outside the allowed folders, or cannot be followed.
    """
    if not path.is_absolute() or "\0" in str(path):
        raise InvalidInput("'path' must be an absolute path on the server.")
    try:
        resolved = path.resolve()
        resolved.is_dir()  # raises what following the path would raise
    except (OSError, RuntimeError) as error:  # RuntimeError is a loop of links
        raise InvalidInput(f"'path' cannot be followed ({type(error).__name__}).") from error
    if roots and not any(resolved.is_relative_to(root.resolve()) for root in roots):
        raise InvalidInput(
            f"{path} is not below a folder that this service takes bundles from "
            f"(AUTODISTIL_BUNDLE_ROOTS: {', '.join(map(str, roots))})."
        )
    return resolved
