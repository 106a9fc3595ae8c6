import datetime
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from database import devices, extractions, registrations
from database.session import SessionFactory
from models_store.artifacts import FolderStore
from worker.lease import Leased, claim, is_dead_neighbour, this_owner
from worker.workshop import Workshop


def test_only_a_process_of_this_host_that_is_gone_is_a_dead_neighbour() -> None:
    host = this_owner().rpartition(":")[0]
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert is_dead_neighbour(f"{host}:{ended.pid}")
    assert not is_dead_neighbour(this_owner())
    assert not is_dead_neighbour(f"{host}:{os.getppid()}")
    assert not is_dead_neighbour(f"other-{host}:{ended.pid}")
    assert not any(map(is_dead_neighbour, (None, "", "x", f"{host}:", f"{host}:x")))


@pytest.mark.parametrize("rows", [devices, extractions, registrations], ids=lambda m: m.__name__)
def test_a_message_about_a_row_that_is_gone_claims_nothing(
    rows: Leased[Any], sessions: SessionFactory, tmp_path: Path
) -> None:
    lease = datetime.timedelta(seconds=30)
    workshop = Workshop(sessions, FolderStore(tmp_path), tmp_path, lease, max_attempts=2)
    assert claim(workshop, rows, "gone", this_owner()) is None


def test_of_a_worker_that_died_the_work_is_claimed_at_once_and_of_a_living_one_not(
    sessions: SessionFactory, tmp_path: Path
) -> None:
    lease = datetime.timedelta(seconds=30)
    workshop = Workshop(sessions, FolderStore(tmp_path), tmp_path, lease, max_attempts=2)
    with sessions.begin() as session:
        id_ = extractions.create(session, {"budget": {"macs": 1}}, None).id
    host = this_owner().rpartition(":")[0]
    gone = 2**22 + 1  # above the largest process id of Linux
    assert claim(workshop, extractions, id_, f"{host}:{gone}") is not None
    assert claim(workshop, extractions, id_, this_owner()) is not None
    assert claim(workshop, extractions, id_, "another:1") is None
