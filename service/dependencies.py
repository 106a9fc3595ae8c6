"""What the routes ask for: the parts of the service, a session, a caller with a scope."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from celery import Celery
from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session

from database import api_keys
from database.session import SessionFactory
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


def get_session(parts: PartsDep) -> Iterator[Session]:
    """A session in one transaction, committed when the route returns."""
    with parts.sessions.begin() as session:
        yield session


# Function scope: commit before the answer is sent, not after it.
SessionDep = Annotated[Session, Depends(get_session, scope="function")]

_bearer = HTTPBearer(auto_error=False, description="An API key.")
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]


def _extract_key(credentials: _Credentials, session: SessionDep) -> ApiKeyRow:
    return api_keys.authenticate(session, _text(credentials), "extract")


def _admin_key(credentials: _Credentials, session: SessionDep) -> ApiKeyRow:
    return api_keys.authenticate(session, _text(credentials), "admin")


def _text(credentials: HTTPAuthorizationCredentials | None) -> str | None:
    return credentials.credentials if credentials else None


ExtractKey = Annotated[ApiKeyRow, Depends(_extract_key, scope="function")]
"""A caller whose key has the scope `extract`."""

AdminKey = Annotated[ApiKeyRow, Depends(_admin_key, scope="function")]
"""A caller whose key has the scope `admin`."""
