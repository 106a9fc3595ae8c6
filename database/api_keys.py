"""API keys: made, checked, revoked."""

import hashlib
import hmac
import secrets

from sqlalchemy import select
from sqlalchemy.orm import Session

from database.errors import Forbidden, NotFound, Unauthorized
from database.pages import Page, newest_first
from database.tables import ApiKeyRow, utc_now

SCOPES = ("extract", "admin")
"""`extract` plans, extracts, and reads; `admin` may do everything."""


def create_key(
    session: Session,
    label: str,
    scopes: list[str],
    requests_per_minute: int | None = None,
    extractions_per_day: int | None = None,
) -> tuple[ApiKeyRow, str]:
    """Add a key; its text is returned this once.

    Args:
        session: A session.
        label: Whose it is, for people.
        scopes: Of `SCOPES`.
        requests_per_minute: Its limit; 0 is none, None is what the settings say.
        extractions_per_day: The same.
    """
    prefix, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    key = f"ad_{prefix}_{secret}"
    row = ApiKeyRow(
        prefix=prefix,
        sha256=_hash(key),
        label=label,
        scopes=sorted(scopes),
        requests_per_minute=requests_per_minute,
        extractions_per_day=extractions_per_day,
    )
    session.add(row)
    session.flush()
    return row, key


def find(session: Session, key: str | None) -> ApiKeyRow:
    """The row of a valid key.

    Raises:
        Unauthorized: There is no key, or it is unknown or revoked.
    """
    if not key:
        raise Unauthorized("Send an API key: 'Authorization: Bearer KEY'.")
    parts = key.split("_", 2)
    prefix = parts[1] if len(parts) == 3 and parts[1].isalnum() else ""
    row = session.scalar(select(ApiKeyRow).where(ApiKeyRow.prefix == prefix))
    if row is None or not hmac.compare_digest(row.sha256, _hash(key)) or row.revoked_at:
        raise Unauthorized("This API key is unknown or was revoked.")
    return row


def check_scope(row: ApiKeyRow, scope: str) -> None:
    """Refuse a key that lacks a scope.

    Raises:
        Forbidden: It does.
    """
    if scope not in row.scopes and "admin" not in row.scopes:
        raise Forbidden(f"This API key lacks the scope {scope!r}.", required_scope=scope)


def list_page(session: Session, limit: int, before: str | None = None) -> Page[ApiKeyRow]:
    """Keys, the newest first, from the `next_cursor` of the page before on."""
    return newest_first(session, select(ApiKeyRow), ApiKeyRow.id, limit, before)


def get(session: Session, key_id: str) -> ApiKeyRow:
    """A key.

    Raises:
        NotFound: There is no such key.
    """
    row = session.get(ApiKeyRow, key_id)
    if row is None:
        raise NotFound(f"There is no API key {key_id}.")
    return row


def revoke_key(session: Session, key_id: str) -> bool:
    """Make a key invalid for good; returns whether it was valid before.

    Raises:
        NotFound: There is no such key.
    """
    row = get(session, key_id)
    was_valid = row.revoked_at is None
    row.revoked_at = row.revoked_at or utc_now()
    return was_valid


def _hash(key: str) -> str:
    # The secret has 256 random bits, so a plain hash cannot be guessed backwards.
    return hashlib.sha256(key.encode()).hexdigest()
