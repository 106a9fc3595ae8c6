"""Archives are unpacked without trust."""

import gzip
import pickle
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from autodistil.errors import InvalidBundle
from autodistil.superlm.bundle import open_superlm
from models_store.bundles import check_size, put_in_place, unpack
from tests.archives import archive, files_below, long_header, member, packed, variant
from tests.factories import shipped_narrow

LIMIT = 20_000_000
MANY = [member(f"x/tokenizer/{chr(97 + i // 9)}{chr(97 + i % 9)}.txt") for i in range(65)]
SPARSE = {"GNU.sparse.size": "99", "GNU.sparse.major": "0", "GNU.sparse.map": "0,1"}

HOSTILE: dict[str, tuple[bytes, str]] = {
    "absolute path": (archive([member("/tmp/superlm.json", b"{}")]), "leads out"),
    "parent": (archive([member("../superlm.json", b"{}")]), "leads out"),
    "parent inside": (archive([member("x/../../superlm.json", b"{}")]), "leads out"),
    "backslash": (archive([member("..\\superlm.json", b"{}")]), "leads out"),
    "symbolic link": (
        archive([member("superlm.json", type=tarfile.SYMTYPE, linkname="/etc/passwd")]),
        "is a link",
    ),
    "linked folder": (
        archive(
            [
                member("tokenizer", type=tarfile.SYMTYPE, linkname="/tmp"),
                member("tokenizer/vocab.txt", b"x"),
            ]
        ),
        "is a link",
    ),
    "hard link": (
        archive([member("superlm.json", type=tarfile.LNKTYPE, linkname="/etc/passwd")]),
        "is a link",
    ),
    "device": (
        archive([member("superlm.json", type=tarfile.CHRTYPE, devmajor=1, devminor=5)]),
        "special file",
    ),
    "pipe": (archive([member("superlm.json", type=tarfile.FIFOTYPE)]), "special file"),
    "sparse file": (
        archive([member("superlm.json", b"x", pax_headers=SPARSE)]),
        "sparse|special file",
    ),
    "the same name twice": (archive([member("superlm.json", b"{}")] * 2), "twice"),
    "a pickle": (
        archive([member("pytorch_model.bin", pickle.dumps({"weights": [1.0]}))]),
        "no bundle has such a file",
    ),
    "code": (archive([member("x/tokenizer/load.py", b"1")]), "no bundle has such a file"),
    "a file below a file": (
        archive([member("superlm.json/superlm.json", b"{}"), member("superlm.json", b"{}")]),
        "beside the bundle",
    ),
    "two bundles": (
        archive([member("a/superlm.json", b"{}"), member("b/superlm.json", b"{}")]),
        "beside the bundle",
    ),
    "many members": (archive(MANY), "more than 64 members"),
    "many folders": (
        archive([member(f"x{i}", type=tarfile.DIRTYPE) for i in range(65)]),
        "more than 64 members",
    ),
    "a bomb": (archive([member("weights.safetensors", bytes(LIMIT))]), "more bytes than"),
    "a bomb in a header": (long_header(15_000_000), "header of more than 1 MB"),
    "a truncated archive": (packed(shipped_narrow())[:5_000_000], "no whole tar.gz"),
    "no gzip": (b"superlm.json", "no whole tar.gz"),
    "nothing": (b"", "no whole tar.gz"),
    "no tar": (gzip.compress(b"no tar" * 1000), "no whole tar.gz"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_and_writes_nothing_outside(tmp_path: Path, name: str) -> None:
    content, reason = HOSTILE[name]
    (tmp_path / "archive").write_bytes(content)
    before = files_below(tmp_path)
    tracemalloc.start()
    with pytest.raises(InvalidBundle, match=reason):
        unpack(tmp_path / "archive", tmp_path / "inside" / "bundle", LIMIT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000  # whatever an archive says, it is read in small pieces
    inside = files_below(tmp_path / "inside")
    assert sorted({*files_below(tmp_path)} - {*inside, str(tmp_path / "inside")}) == before
    written = sum(path.stat().st_size for path in (tmp_path / "inside").rglob("*"))
    assert written <= LIMIT + 100_000


@pytest.mark.parametrize("top", ["", "./", "minilm-l6-narrow@1/"])
def test_an_honest_archive_is_unpacked_bare_or_in_a_folder(tmp_path: Path, top: str) -> None:
    source = shipped_narrow()
    (tmp_path / "archive").write_bytes(packed(source, top))
    unpack(tmp_path / "archive", tmp_path / "bundle", LIMIT)
    assert open_superlm(tmp_path / "bundle").sha256 == open_superlm(source).sha256


def test_what_a_dead_registration_left_in_a_place_is_replaced(tmp_path: Path) -> None:
    left = tmp_path / "superlms" / "mine@1"
    left.mkdir(parents=True)
    (left / "half").write_text("written")
    superlm = open_superlm(variant(tmp_path / "bundle", "mine"))
    placed = put_in_place(superlm, left)
    assert placed.folder == left
    assert open_superlm(left).sha256 == superlm.sha256
    assert not (left / "half").exists()
    assert not superlm.folder.exists()


def test_a_folder_may_have_so_many_bytes_and_no_more(tmp_path: Path) -> None:
    bundle = variant(tmp_path / "bundle", "sized")
    size = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())
    check_size(bundle, size)
    with pytest.raises(InvalidBundle, match=f"has {size:,} bytes; a bundle may have {size - 1:,}"):
        check_size(bundle, size - 1)
    for number in range(65):
        (bundle / f"{number}.txt").touch()
    with pytest.raises(InvalidBundle, match="more than 64 files"):
        check_size(bundle, size)
