"""API keys: made, checked, revoked."""

import hashlib
import hmac
import secrets

from sqlalchemy import select
from sqlalchemy.orm import Session

from database.errors import Forbidden, NotFound, Unauthorized
from database.tables import ApiKeyRow, utc_now

SCOPES = ("extract", "admin")
"""`extract` plans, extracts, and reads; `admin` may do everything."""


def create_key(session: Session, label: str, scopes: list[str]) -> tuple[ApiKeyRow, str]:
    """Add a key; its text is returned this once."""
    prefix, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    key = f"ad_{prefix}_{secret}"
    row = ApiKeyRow(prefix=prefix, sha256=_hash(key), label=label, scopes=sorted(scopes))
    session.add(row)
    session.flush()
    return row, key


def authenticate(session: Session, key: str | None, scope: str) -> ApiKeyRow:
    """The row of a valid key that has the scope.

    Raises:
        Unauthorized: There is no key, or it is unknown or revoked.
        Forbidden: The key lacks the scope.
    """
    if not key:
        raise Unauthorized("Send an API key: 'Authorization: Bearer KEY'.")
    parts = key.split("_", 2)
    prefix = parts[1] if len(parts) == 3 and parts[1].isalnum() else ""
    row = session.scalar(select(ApiKeyRow).where(ApiKeyRow.prefix == prefix))
    if row is None or not hmac.compare_digest(row.sha256, _hash(key)) or row.revoked_at:
        raise Unauthorized("This API key is unknown or was revoked.")
    if scope not in row.scopes and "admin" not in row.scopes:
        raise Forbidden(f"This API key lacks the scope {scope!r}.", required_scope=scope)
    return row


def list_keys(session: Session) -> list[ApiKeyRow]:
    """All keys, the newest first."""
    return list(session.scalars(select(ApiKeyRow).order_by(ApiKeyRow.id.desc())))


def revoke_key(session: Session, key_id: str) -> None:
    """Make a key invalid for good.

    Raises:
        NotFound: There is no such key.
    """
    row = session.get(ApiKeyRow, key_id)
    if row is None:
        raise NotFound(f"There is no API key {key_id}.")
    row.revoked_at = row.revoked_at or utc_now()


def _hash(key: str) -> str:
    # The secret has 256 random bits, so a plain hash cannot be guessed backwards.
    return hashlib.sha256(key.encode()).hexdigest()
