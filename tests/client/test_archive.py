import hashlib
import io
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autodistil.errors import InvalidInput
from client.archive import DamagedArchive, unpack_into

CONTENT = b"weights"


def receipt(*names: str) -> dict[str, Any]:
    entry = {"sha256": hashlib.sha256(CONTENT).hexdigest(), "size_bytes": len(CONTENT)}
    return {"files": dict.fromkeys(names, entry)}


def add(tar: tarfile.TarFile, name: str, content: bytes = CONTENT, **fields: Any) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    tar.addfile(info, io.BytesIO(content))


def write(path: Path, fill: Callable[[tarfile.TarFile], None]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        fill(tar)
    return path


def test_the_files_of_the_receipt_are_unpacked_with_it(tmp_path: Path) -> None:
    def fill(tar: tarfile.TarFile) -> None:
        add(tar, "model.safetensors")
        add(tar, "1_Pooling/config.json")

    archive = write(tmp_path / "a.tar.gz", fill)
    unpack_into(archive, tmp_path / "out", receipt("model.safetensors", "1_Pooling/config.json"))
    assert (tmp_path / "out" / "1_Pooling" / "config.json").read_bytes() == CONTENT
    assert (tmp_path / "out" / "receipt.json").is_file()


HOSTILE: dict[str, tuple[Callable[[tarfile.TarFile], None], list[str]]] = {
    "a file the receipt does not list": (lambda tar: add(tar, "evil"), []),
    "a path out of the folder": (lambda tar: add(tar, "../evil"), ["../evil"]),
    "an absolute path": (lambda tar: add(tar, "/tmp/evil"), ["/tmp/evil"]),
    "a link": (lambda tar: add(tar, "x", b"", type=tarfile.SYMTYPE, linkname="/etc"), ["x"]),
    "other content of the same size": (lambda tar: add(tar, "x", b"wrongly"), ["x"]),
    "a larger file": (lambda tar: add(tar, "x", b"0" * 1_000_000), ["x"]),
    "one file too few": (lambda tar: add(tar, "x"), ["x", "y"]),
    "the same file twice": (lambda tar: (add(tar, "x"), add(tar, "x"))[0], ["x"]),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_archive_is_refused_and_leaves_nothing(tmp_path: Path, case: str) -> None:
    fill, names = HOSTILE[case]
    inside = tmp_path / "inside"
    inside.mkdir()
    archive = write(inside / "a.tar.gz", fill)
    with pytest.raises(DamagedArchive):
        unpack_into(archive, inside / "out", receipt(*names))
    assert list(inside.iterdir()) == [archive]
    assert list(tmp_path.iterdir()) == [inside]


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    archive = write(tmp_path / "a.tar.gz", lambda tar: add(tar, "x"))
    archive.write_bytes(archive.read_bytes()[:30])
    with pytest.raises(DamagedArchive):
        unpack_into(archive, tmp_path / "out", receipt("x"))
    assert list(tmp_path.iterdir()) == [archive]


def test_an_archive_with_flipped_bits_is_refused(tmp_path: Path) -> None:
    noise = random.Random(0).randbytes(100_000)
    archive = write(tmp_path / "a.tar.gz", lambda tar: add(tar, "x", noise))
    content = bytearray(archive.read_bytes())
    content[len(content) // 2 :: 1000] = b"\xff" * len(content[len(content) // 2 :: 1000])
    archive.write_bytes(content)
    entry = {"sha256": hashlib.sha256(noise).hexdigest(), "size_bytes": len(noise)}
    with pytest.raises(DamagedArchive):
        unpack_into(archive, tmp_path / "out", {"files": {"x": entry}})
    assert list(tmp_path.iterdir()) == [archive]


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    archive = write(tmp_path / "a.tar.gz", lambda tar: add(tar, "x"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(InvalidInput, match="not empty"):
        unpack_into(archive, tmp_path / "out", receipt("x"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]
