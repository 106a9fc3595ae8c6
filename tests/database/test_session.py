from alembic import command
from sqlalchemy import inspect

from database.session import alembic_config, migrate, open_engine, reading, session_factory
from database.tables import Base, EventRow


def tables_of(url: str) -> set[str]:
    engine = open_engine(url)
    found = set(inspect(engine).get_table_names())
    engine.dispose()
    return found - {"alembic_version"}


def test_migrations_go_up_down_and_up_again_and_match_the_tables(empty_database: str) -> None:
    migrate(empty_database)
    assert tables_of(empty_database) == set(Base.metadata.tables)
    command.check(alembic_config(empty_database))
    migrate(empty_database, "base")
    assert tables_of(empty_database) == set()
    migrate(empty_database)
    assert tables_of(empty_database) == set(Base.metadata.tables)


def test_a_reader_does_not_wait_for_a_writer(empty_database: str) -> None:
    migrate(empty_database)
    engine = open_engine(empty_database)
    sessions = session_factory(engine)
    with sessions.begin() as writer, reading(sessions) as reader:
        writer.connection()  # holds the write lock
        assert reader.query(EventRow).count() == 0
    engine.dispose()
