"""Signs of life of a worker, from its first to its end."""

import datetime
import os
from pathlib import Path

from sqlalchemy import update

from database import workers
from database.session import migrate, open_engine, reading, session_factory
from database.tables import WorkerRow, utc_now
from tests.service.conftest import until
from worker.presence import Presence


def test_a_worker_is_seen_until_it_ends_and_the_lost_are_forgotten(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    migrate(url)
    engine = open_engine(url)
    sessions = session_factory(engine)

    def seen() -> list[WorkerRow]:
        with reading(sessions) as session:
            return workers.list_all(session)

    with sessions.begin() as session:
        workers.see(session, "lost", None, {})
        late = utc_now() - datetime.timedelta(days=2)
        session.execute(update(WorkerRow).values(seen_at=late))
    presence = Presence(url, "here", 2, 0.05)
    presence.start("celery@host", lambda: [7])
    until(lambda: [row.name for row in seen()] == [f"celery@host:{os.getpid()}"])
    (first,) = seen()
    assert (first.device, first.facts["threads"], first.facts["processes"]) == ("here", 2, [7])
    until(lambda: seen()[0].seen_at > first.seen_at)
    assert seen()[0].started_at == first.started_at
    presence.stop()
    assert seen() == []
    engine.dispose()
