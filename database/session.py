"""Engines and sessions, and the migrations."""

import contextlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.orm import Session, sessionmaker

SessionFactory = sessionmaker[Session]

_BUSY_MS = 10_000
_READ_ONLY = "autodistil_read_only"


def open_engine(url: str) -> Engine:
    """An engine for SQLite or PostgreSQL.

    SQLite runs in WAL mode, so that readers and one writer do not wait for each other. A
    transaction takes the write lock when it begins, because a lock taken later can fail without
    waiting; one opened by `reading` takes none.
    """
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=20)
    engine = create_engine(url)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, record: object) -> None:
        connection.isolation_level = None  # the driver must not begin transactions by itself
        for pragma in (f"busy_timeout={_BUSY_MS}", "journal_mode=WAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        reads = connection.get_execution_options().get(_READ_ONLY, False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def session_factory(engine: Engine) -> SessionFactory:
    """Sessions whose objects stay readable after commit."""
    return sessionmaker(engine, expire_on_commit=False)


@contextlib.contextmanager
def reading(sessions: SessionFactory) -> Iterator[Session]:
    """A session that only reads, and so never waits for a writer."""
    with sessions(bind=_read_only(sessions.kw["bind"])) as session:
        yield session


@lru_cache(maxsize=8)
def _read_only(engine: Engine) -> Engine:
    """The same engine and pool, with an option of its own; made once, as it has listeners."""
    return engine.execution_options(**{_READ_ONLY: True})


def migrate(url: str, revision: str = "head") -> None:
    """Bring the database's schema to a revision; to the newest by default."""
    config = alembic_config(url)
    if revision == "head":
        command.upgrade(config, revision)
    else:
        command.downgrade(config, revision)


def alembic_config(url: str) -> Config:
    """Alembic's settings for a database, wherever the process runs."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[1] / "migrations"))
    config.attributes["url"] = url
    return config
