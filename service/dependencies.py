"""What the routes ask for: the parts of the service, a session, a caller with a scope."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from celery import Celery
from fastapi import Depends, Path, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session

from database import api_keys, extractions
from database.errors import NotFound, Unauthorized
from database.session import SessionFactory, reading
from database.tables import ApiKeyRow
from models_store.artifacts import ArtifactStore
from service.catalogue import Catalogue
from service.rate_limits import RateLimiter, limit
from service.schemas.extractions import EXTRACTION_ID, Extraction
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
    # A session of its own, closed before the route opens one.
    with reading(parts.sessions) as session:
        return _authenticate(session, request, credentials, parts, "extract")


def _admin_key(request: Request, credentials: _Credentials, parts: PartsDep) -> ApiKeyRow:
    with reading(parts.sessions) as session:
        return _authenticate(session, request, credentials, parts, "admin")


def _found_extraction(
    extraction_id: Annotated[str, Path(json_schema_extra={"pattern": EXTRACTION_ID})],
    request: Request,
    credentials: _Credentials,
    parts: PartsDep,
) -> Extraction:
    # A change of threads costs as much as a SELECT, so both are done in one go. The id is checked
    # here, since FastAPI would refuse a bad one before the key is checked and the request counted.
    with reading(parts.sessions) as session:
        _authenticate(session, request, credentials, parts, "extract")
        if not re.fullmatch(EXTRACTION_ID, extraction_id):
            raise NotFound("There is no extraction of this id.")
        return Extraction.of(extractions.get(session, extraction_id))


def _authenticate(
    session: Session,
    request: Request,
    credentials: HTTPAuthorizationCredentials | None,
    parts: Parts,
    scope: str,
) -> ApiKeyRow:
    """Check and count a key."""
    key = credentials.credentials if credentials else None
    limiter, settings = parts.rate_limiter, parts.settings
    try:
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

FoundExtraction = Annotated[Extraction, Depends(_found_extraction)]
"""The extraction of the path as it stands, for a caller whose key has the scope `extract`."""
