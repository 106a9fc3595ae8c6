"""A cancel that arrives while the worker goes on to its next step."""

import datetime
import threading

import pytest

from database import extractions
from database.errors import Canceled
from database.session import SessionFactory, reading
from database.tables import ArtifactRow, State

LEASE = datetime.timedelta(seconds=30)
OWNER = "host:1"


@pytest.fixture
def job(sessions: SessionFactory) -> str:
    """An extraction that `OWNER` works on."""
    with sessions.begin() as session:
        made = extractions.create(session, {"budget": {"macs": 1}}, None).id
        assert extractions.claim(session, made, OWNER, LEASE)
    return made


def test_a_job_canceled_at_its_last_step_does_not_succeed(
    sessions: SessionFactory, job: str
) -> None:
    with sessions.begin() as session:
        extractions.advance(session, job, OWNER, State.VERIFYING)
        extractions.request_cancel(session, job)
    artifact = ArtifactRow(
        extraction_id=job, name="x", format="transformers", sha256="0" * 64, size_bytes=1
    )
    with pytest.raises(Canceled), sessions.begin() as session:
        extractions.succeed(session, job, OWNER, {}, [artifact])
    with sessions.begin() as session:
        extractions.finish_cancel(session, job, OWNER)
    with reading(sessions) as session:
        row = extractions.get(session, job)
        assert (row.state, row.receipt, row.artifacts) == ("canceled", None, [])


def test_a_step_that_waits_for_a_cancel_to_commit_does_not_overwrite_it(
    sessions: SessionFactory, job: str
) -> None:
    outcome: list[type[BaseException] | None] = []

    def step() -> None:
        try:
            with sessions.begin() as session:
                extractions.advance(session, job, OWNER, State.SLICING)
        except Canceled as error:
            outcome.append(type(error))
        else:
            outcome.append(None)

    thread = threading.Thread(target=step)
    with sessions.begin() as session:
        extractions.request_cancel(session, job)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive(), "the step must wait for the row, or it tests nothing"
    thread.join(10)
    assert outcome == [Canceled]
    with reading(sessions) as session:
        assert extractions.get(session, job).state == "canceling"
