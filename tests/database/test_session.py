from typing import Any

from alembic import command
from sqlalchemy import MetaData, Table, insert, inspect, select

from database.session import alembic_config, migrate, open_engine, reading, session_factory
from database.tables import Base, EventRow, ExtractionRow, utc_now


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


def test_a_migration_pins_the_superlms_of_jobs_under_way(empty_database: str) -> None:
    migrate(empty_database)
    migrate(empty_database, "0003")
    engine = open_engine(empty_database)
    superlms = Table("superlms", MetaData(), autoload_with=engine)
    jobs = Table("extractions", MetaData(), autoload_with=engine)
    aliases = Table("superlm_aliases", MetaData(), autoload_with=engine)
    rows: dict[str, Any] = {"sha256": "", "folder": "", "candidates": [], "created_at": utc_now()}
    with engine.begin() as connection:
        for name, version, teacher, deprecated in (
            ("one", 1, "bert", None),
            ("one", 2, "bert", None),
            ("one", 3, "bert", "slow"),
            ("two", 1, "bert", None),
            ("other", 1, "gpt", None),
        ):
            values = {"id": f"{name}{version}", "name": name, "version": version, **rows}
            spec = {"teacher": {"name": teacher}}
            connection.execute(insert(superlms).values(spec=spec, deprecated=deprecated, **values))
        alias = {"name": "one", "alias": "old", "superlm_id": "one1", "changed_at": utc_now()}
        connection.execute(insert(aliases).values(**alias))
        for id_, state, request in (
            ("a", "queued", {"teacher": "bert"}),
            ("b", "searching", {"superlm": "one"}),
            ("c", "queued", {"superlm": "one@old"}),
            ("d", "queued", {"superlm": "one@3"}),
            ("e", "queued", {"superlm": "gone@1"}),
            ("f", "failed", {"teacher": "bert"}),
        ):
            job = {"id": id_, "state": state, "request": request, "attempts": 0}
            connection.execute(insert(jobs).values(created_at=utc_now(), **job))
    migrate(empty_database)
    with session_factory(engine)() as session:
        found = {row.id: sorted(row.superlm_ids) for row in session.scalars(select(ExtractionRow))}
    engine.dispose()
    assert found == {
        "a": ["one2", "two1"],
        "b": ["one2"],
        "c": ["one1"],
        "d": ["one3"],
        "e": [],
        "f": [],
    }
