"""Bundles registered at the same time, and paths that lead nowhere."""

import hashlib
import json
import threading
from pathlib import Path

import pytest
from sqlalchemy import select

from autodistil.errors import InvalidInput
from autodistil.superlm.bundle import SPEC, open_superlm
from database.errors import Conflict
from database.session import SessionFactory, migrate, open_engine, reading, session_factory
from database.tables import SuperLMRow
from service.registration import check_path, shown_source
from tests.archives import variant
from tests.factories import shipped_narrow
from worker.entry import register_bundle

THREADS = 6


def register_at_once(sessions: SessionFactory, bundles: list[Path], target: Path) -> list[str]:
    """What came of registering some bundles at the same moment, sorted."""
    barrier, outcomes = threading.Barrier(len(bundles)), []

    def register(bundle: Path) -> None:
        barrier.wait()
        try:
            with sessions.begin() as session:
                outcomes.append("new" if register_bundle(session, bundle, target)[1] else "known")
        except Conflict:
            outcomes.append("conflict")
        except Exception as error:
            outcomes.append(repr(error))

    threads = [threading.Thread(target=register, args=(bundle,)) for bundle in bundles]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(outcomes)


@pytest.mark.parametrize(
    ("contents", "outcomes"),
    [
        (["a"] * THREADS, ["known"] * (THREADS - 1) + ["new"]),
        (["a", "b"] * (THREADS // 2), ["conflict"] * 3 + ["known"] * 2 + ["new"]),
    ],
    ids=["the same bundle", "two bundles under one name"],
)
def test_of_registrations_at_the_same_moment_one_wins_and_its_files_are_whole(
    empty_database: str, tmp_path: Path, contents: list[str], outcomes: list[str]
) -> None:
    migrate(empty_database)
    engine = open_engine(empty_database)
    sessions = session_factory(engine)
    provenance = json.loads((shipped_narrow() / SPEC).read_text())["provenance"]
    made = {
        name: variant(tmp_path / name, "race", provenance={**provenance, "corpus": name})
        for name in set(contents)
    }
    target = tmp_path / "superlms"
    found = register_at_once(sessions, [made[name] for name in contents], target)
    assert found == outcomes
    with reading(sessions) as session:
        (row,) = session.scalars(select(SuperLMRow))
    engine.dispose()
    assert [path.name for path in target.iterdir()] == ["race@1"]
    assert open_superlm(target / "race@1").sha256 == row.sha256
    assert hashlib.sha256((target / "race@1" / SPEC).read_bytes()).hexdigest() == row.sha256


def test_a_path_that_cannot_be_followed_is_invalid_input(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path / "loop", tmp_path / ("a" * 300), Path("/" + "a" * 4000)):
        with pytest.raises(InvalidInput, match="cannot be followed"):
            check_path(path, [])


def test_only_absolute_paths_below_an_allowed_root_are_taken(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "bundle", outside):
        folder.mkdir(parents=True)
    (root / "link").symlink_to(outside)
    assert check_path(root / "bundle", [root]) == root / "bundle"
    assert check_path(outside, []) == outside
    for path in (outside, root / "link", root / ".." / "outside", tmp_path / "root-beside"):
        with pytest.raises(InvalidInput, match="AUTODISTIL_BUNDLE_ROOTS"):
            check_path(path, [root])
    for path in (Path("root/bundle"), Path("/tmp/\0")):
        with pytest.raises(InvalidInput, match="absolute"):
            check_path(path, [root])


def test_the_query_of_a_url_is_not_shown() -> None:
    source = {"url": "https://x.example.com/b.tar.gz?signature=secret", "sha256": "0" * 64}
    assert shown_source(source) == {**source, "url": "https://x.example.com/b.tar.gz"}
