"""What the routes ask for: the parts of the service, a session, a caller with a scope."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from celery import Celery
from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session

from database import api_keys
from database.errors import Unauthorized
from database.session import SessionFactory, reading
from database.tables import ApiKeyRow
from models_store.artifacts import ArtifactStore
from service.catalogue import Catalogue
from service.rate_limits import RateLimiter, limit
from service.waiting import Watcher
from worker.settings import Settings


@dataclass(frozen=True)
class Parts:
    """What one running service is made of."""

    settings: Settings
    sessions: SessionFactory
    store: ArtifactStore
    celery: Celery
    catalogue: Catalogue
    rate_limiter: RateLimiter
    watcher: Watcher


async def get_parts(request: Request) -> Parts:  # not worth a thread, which others would get
    """The parts of this service."""
    parts: Parts = request.app.state.parts
    return parts


PartsDep = Annotated[Parts, Depends(get_parts)]


def _read_session(parts: PartsDep) -> Iterator[Session]:
    with reading(parts.sessions) as session:
        yield session


def _write_session(parts: PartsDep) -> Iterator[Session]:
    with parts.sessions.begin() as session:
        yield session


# Function scope: a session ends before the answer is sent, not after it.
ReadSession = Annotated[Session, Depends(_read_session, scope="function")]
"""A session that only reads."""

WriteSession = Annotated[Session, Depends(_write_session, scope="function")]
"""A session in one transaction, committed when the route returns."""

_bearer = HTTPBearer(auto_error=False, description="An API key.")
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]


def _extract_key(request: Request, credentials: _Credentials, parts: PartsDep) -> ApiKeyRow:
    return _authenticate(request, credentials, parts, "extract")


def _admin_key(request: Request, credentials: _Credentials, parts: PartsDep) -> ApiKeyRow:
    return _authenticate(request, credentials, parts, "admin")


def _authenticate(
    request: Request, credentials: HTTPAuthorizationCredentials | None, parts: Parts, scope: str
) -> ApiKeyRow:
    """Check and count a key in a session of its own, closed before the route opens one."""
    key = credentials.credentials if credentials else None
    limiter, settings = parts.rate_limiter, parts.settings
    try:
        with reading(parts.sessions) as session:
            row = api_keys.find(session, key)
    except Unauthorized:
        address = request.client.host if request.client else "unknown"
        limit(request, limiter, f"address:{address}", settings.failed_logins_per_minute)
        raise
    own = row.requests_per_minute
    limit(request, limiter, f"key:{row.id}", settings.requests_per_minute if own is None else own)
    # Counted before: requests that the key may not make are requests, too.
    api_keys.check_scope(row, scope)
    return row


ExtractKey = Annotated[ApiKeyRow, Depends(_extract_key)]
"""A caller whose key has the scope `extract`."""

AdminKey = Annotated[ApiKeyRow, Depends(_admin_key)]
"""A caller whose key has the scope `admin`."""
