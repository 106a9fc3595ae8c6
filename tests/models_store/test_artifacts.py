import datetime
import hashlib
import os
from pathlib import Path

import pytest

from autodistil.superlm.bundle import open_superlm
from models_store import shipped_bundles
from models_store.artifacts import FolderStore


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_file_is_kept_once_under_its_hash(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    (tmp_path / "a").write_bytes(b"student")
    (tmp_path / "b").write_bytes(b"student")
    entries = [store.put(tmp_path / name) for name in ("a", "b")]
    assert entries[0] == entries[1]
    assert entries[0].sha256 == hashlib.sha256(b"student").hexdigest()
    assert files_in(tmp_path / "store") == [store.path(entries[0].sha256)]
    assert store.path(entries[0].sha256).read_bytes() == b"student"


def test_a_damaged_copy_is_replaced(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    (tmp_path / "a").write_bytes(b"student")
    path = store.path(store.put(tmp_path / "a").sha256)
    path.write_bytes(b"stu")
    store.put(tmp_path / "a")
    assert path.read_bytes() == b"student"


def test_a_store_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"student")
    (tmp_path / "store").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="store"):
        FolderStore(tmp_path / "store").put(tmp_path / "a")
    with pytest.raises(FileNotFoundError):
        FolderStore(tmp_path / "other").put(tmp_path / "vanished")
    assert set(files_in(tmp_path)) == {tmp_path / "a", tmp_path / "store"}


def test_a_file_that_is_removed_can_be_read_to_its_end_and_put_again(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    (tmp_path / "a").write_bytes(b"student")
    sha256 = store.put(tmp_path / "a").sha256
    with store.path(sha256).open("rb") as reader:
        for _ in range(2):
            store.remove(sha256)
        assert reader.read() == b"student"
    assert not store.path(sha256).exists()
    store.put(tmp_path / "a")
    assert store.path(sha256).read_bytes() == b"student"


def test_the_shards_hold_every_file_once_and_tell_which_are_old(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    hashes = []
    for number in range(20):
        (tmp_path / "a").write_bytes(bytes([number]))
        hashes.append(store.put(tmp_path / "a").sha256)
    hour = datetime.timedelta(hours=1)
    now = datetime.datetime.now(datetime.UTC)

    def old(since: datetime.datetime) -> list[str]:
        return [sha256 for shard in store.shards() for sha256 in store.unused_since(shard, since)]

    assert sorted(old(now + hour)) == sorted(hashes)
    assert old(now - hour) == []
    past = (now - 2 * hour).timestamp()
    for sha256 in hashes:
        os.utime(store.path(sha256), (past, past))
    store.put(tmp_path / "a")  # is there already, and counts as put now
    assert sorted(old(now - hour)) == sorted(hashes[:-1])


def test_what_ships_opens_and_stays_small() -> None:
    folders = shipped_bundles()
    assert [open_superlm(folder).spec.name for folder in folders] == [f.name for f in folders]
    assert {"minilm-l6-narrow", "minilm-l6-wide"} <= {folder.name for folder in folders}
    assert sum(path.stat().st_size for f in folders for path in files_in(f)) < 45_000_000
    for folder in folders:
        assert open_superlm(folder).spec.provenance.tokens_seen >= 8_000_000
