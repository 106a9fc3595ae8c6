from collections.abc import Iterator

import pytest

from database.session import SessionFactory, migrate, open_engine, session_factory


@pytest.fixture
def sessions(empty_database: str) -> Iterator[SessionFactory]:
    """A migrated database without rows, of each kind."""
    migrate(empty_database)
    engine = open_engine(empty_database)
    yield session_factory(engine)
    engine.dispose()
