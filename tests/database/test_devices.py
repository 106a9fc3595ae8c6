import datetime
import threading

import pytest
from sqlalchemy import update

from autodistil.errors import AutoDistilError
from autodistil.latency.conditions import LatencyLimit
from autodistil.latency.device_profile import ProfilingRequest
from autodistil.search.budget import Budget
from database import devices
from database.errors import LeaseLost, NotFound
from database.session import SessionFactory, reading
from database.tables import DeviceRow
from tests.autodistil.latency.test_device_profile import made_up_profile

LEASE = datetime.timedelta(seconds=30)
OVER = datetime.timedelta(seconds=-1)
REQUEST = ProfilingRequest().model_dump(mode="json")
LIMIT = Budget(latency=LatencyLimit(ms=5, device="xeon"))


def ask(sessions: SessionFactory, name: str = "xeon") -> None:
    with sessions.begin() as session:
        devices.request_profiling(session, name, REQUEST)


def claim(
    sessions: SessionFactory, owner: str = "a:1", lease: datetime.timedelta = LEASE
) -> dict[str, object] | None:
    with sessions.begin() as session:
        return devices.claim(session, "xeon", owner, lease)


def row_of(sessions: SessionFactory, name: str = "xeon") -> DeviceRow:
    with reading(sessions) as session:
        return devices.get(session, name)


def test_a_profiling_goes_from_queued_to_ready(sessions: SessionFactory) -> None:
    ask(sessions)
    assert (row_of(sessions).state, row_of(sessions).profile) == ("queued", None)
    assert claim(sessions) == REQUEST
    assert claim(sessions, "b:1") is None
    with sessions.begin() as session:
        devices.renew(session, "xeon", "a:1", LEASE)
        devices.report(session, "xeon", "a:1", 40)
    row = row_of(sessions)
    assert (row.state, row.percent, row.attempts, row.lease_owner) == ("profiling", 40, 1, "a:1")
    profile = made_up_profile()
    with sessions.begin() as session:
        devices.succeed(session, "xeon", "a:1", profile)
    row = row_of(sessions)
    assert (row.state, row.percent, row.lease_owner, row.problem) == ("ready", 100, None, None)
    assert row.finished_at is not None
    with reading(sessions) as session:
        assert devices.profiles_for(session, LIMIT) == {"xeon": profile}
        assert devices.profiles_for(session, Budget(macs=5)) == {}
    with pytest.raises(LeaseLost), sessions.begin() as session:
        devices.report(session, "xeon", "a:1", 50)


def test_the_old_profile_serves_while_a_new_one_is_made_and_after_it_failed(
    sessions: SessionFactory,
) -> None:
    ask(sessions)
    claim(sessions)
    with sessions.begin() as session:
        devices.succeed(session, "xeon", "a:1", made_up_profile())
    ask(sessions)
    claim(sessions)
    with sessions.begin() as session:
        devices.fail(session, "xeon", "a:1", AutoDistilError("no memory"))
    row = row_of(sessions)
    assert row.state == "failed"
    assert row.problem is not None
    assert row.problem["detail"] == "no memory"
    with reading(sessions) as session:
        assert devices.profiles_for(session, LIMIT).keys() == {"xeon"}
    ask(sessions)
    assert (row_of(sessions).state, row_of(sessions).problem) == ("queued", None)


def test_a_worker_loses_a_profiling_that_is_asked_for_anew_or_deleted(
    sessions: SessionFactory,
) -> None:
    ask(sessions)
    claim(sessions)
    ask(sessions)
    with pytest.raises(LeaseLost), sessions.begin() as session:
        devices.succeed(session, "xeon", "a:1", made_up_profile())
    assert row_of(sessions).profile is None
    claim(sessions)
    with sessions.begin() as session:
        devices.delete(session, "xeon")
    with pytest.raises(LeaseLost), sessions.begin() as session:
        devices.renew(session, "xeon", "a:1", LEASE)
    assert claim(sessions) is None
    with pytest.raises(NotFound, match="there is none"), sessions.begin() as session:
        devices.delete(session, "xeon")


def test_the_profiling_of_a_dead_worker_is_queued_again_and_given_up_in_the_end(
    sessions: SessionFactory,
) -> None:
    ask(sessions)
    ask(sessions, "other")
    for attempt in (1, 2):
        assert claim(sessions, lease=OVER) == REQUEST
        with sessions.begin() as session:
            assert devices.recover(session, 2) == (["xeon"] if attempt == 1 else [])
    row = row_of(sessions)
    assert (row.state, row.attempts) == ("failed", 2)
    assert row.problem is not None
    assert row.problem["type"] == "attempts-exhausted"
    assert row_of(sessions, "other").state == "queued"


def test_a_dead_owner_is_freed_before_the_lease_runs_out(sessions: SessionFactory) -> None:
    ask(sessions)
    claim(sessions)
    with sessions.begin() as session:
        assert devices.recover(session, 2) == []
        assert devices.recover(session, 2, dead_owner="b:1") == []
        assert devices.recover(session, 2, dead_owner="a:1") == ["xeon"]


def test_what_waits_without_a_message_is_found(sessions: SessionFactory) -> None:
    for name in ("never", "old", "new", "taken"):
        ask(sessions, name)
    with sessions.begin() as session:
        for name in ("old", "new"):
            devices.mark_sent(session, name)
        late = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=5)
        session.execute(update(DeviceRow).where(DeviceRow.name == "old").values(sent_at=late))
        devices.claim(session, "taken", "a:1", LEASE)
    with reading(sessions) as session:
        assert devices.unsent(session, datetime.timedelta(minutes=1)) == ["never", "old"]
        assert [row.name for row in devices.list_all(session)] == ["never", "new", "old", "taken"]


def test_of_many_workers_one_profiles(sessions: SessionFactory) -> None:
    ask(sessions)
    barrier, won = threading.Barrier(4), []

    def race(number: int) -> None:
        barrier.wait()
        if claim(sessions, f"host:{number}"):
            won.append(number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_a_stored_profile_that_cannot_be_read_harms_its_own_device_only(
    sessions: SessionFactory,
) -> None:
    for name in ("xeon", "phone"):
        ask(sessions, name)
        with sessions.begin() as session:
            devices.claim(session, name, "a:1", LEASE)
            devices.succeed(session, name, "a:1", made_up_profile(name))
    with sessions.begin() as session:
        broken = {"format": "autodistil-device-0"}
        session.execute(update(DeviceRow).where(DeviceRow.name == "xeon").values(profile=broken))
    phone = Budget(latency=LatencyLimit(ms=5, device="phone"))
    with reading(sessions) as session:
        assert devices.profiles_for(session, phone).keys() == {"phone"}
        with pytest.raises(AutoDistilError, match="xeon cannot be read .* again"):
            devices.profiles_for(session, LIMIT)
