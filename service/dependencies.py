"""What the routes ask for: the parts of the service, a session, a caller with a scope."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from celery import Celery
from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session

from database import api_keys
from database.session import SessionFactory, reading
from database.tables import ApiKeyRow
from models_store.artifacts import ArtifactStore
from service.catalogue import Catalogue
from worker.settings import Settings


@dataclass(frozen=True)
class Parts:
    """What one running service is made of."""

    settings: Settings
    sessions: SessionFactory
    store: ArtifactStore
    celery: Celery
    catalogue: Catalogue


def get_parts(request: Request) -> Parts:
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


def _extract_key(credentials: _Credentials, parts: PartsDep) -> ApiKeyRow:
    return _authenticate(credentials, parts, "extract")


def _admin_key(credentials: _Credentials, parts: PartsDep) -> ApiKeyRow:
    return _authenticate(credentials, parts, "admin")


def _authenticate(
    credentials: HTTPAuthorizationCredentials | None, parts: Parts, scope: str
) -> ApiKeyRow:
    """Check the key in a session of its own, closed before the route opens one."""
    key = credentials.credentials if credentials else None
    with reading(parts.sessions) as session:
        return api_keys.authenticate(session, key, scope)


ExtractKey = Annotated[ApiKeyRow, Depends(_extract_key)]
"""A caller whose key has the scope `extract`."""

AdminKey = Annotated[ApiKeyRow, Depends(_admin_key)]
"""A caller whose key has the scope `admin`."""
