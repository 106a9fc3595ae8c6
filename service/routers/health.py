"""Liveness and readiness."""

from fastapi import APIRouter, Response
from kombu.exceptions import OperationalError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from database.session import reading
from service.dependencies import Parts, PartsDep
from service.problems import responses
from service.schemas.health import Health

router = APIRouter(tags=["health"])


@router.get("/healthz", operation_id="get_health")
async def get_health() -> Health:
    """Whether the process answers."""
    return Health(status="ok", checks={})


@router.get("/readyz", operation_id="get_readiness", responses=responses(503))
def get_readiness(parts: PartsDep, response: Response) -> Health:
    """Whether an extraction could be done now: database, broker, and a live worker."""
    checks = {"database": _database(parts), "broker": _broker(parts)}
    checks["worker"] = _worker(parts) if checks["broker"] == "ok" else "unknown"
    ready = all(check == "ok" for check in checks.values())
    response.status_code = 200 if ready else 503
    return Health(status="ok" if ready else "unavailable", checks=checks)


def _database(parts: Parts) -> str:
    try:
        with reading(parts.sessions) as session:
            session.execute(text("SELECT 1 FROM superlms LIMIT 1"))
    except SQLAlchemyError as error:
        return f"no answer ({type(error).__name__})"
    return "ok"


def _broker(parts: Parts) -> str:
    try:
        with parts.celery.connection_for_write(connect_timeout=2) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)
    except (OperationalError, OSError) as error:
        return f"no answer ({type(error).__name__})"
    return "ok"


def _worker(parts: Parts) -> str:
    try:
        found = parts.celery.control.ping(timeout=1.0, limit=1)
    except (OperationalError, OSError) as error:
        return f"no answer ({type(error).__name__})"
    return "ok" if found else "none answers"
