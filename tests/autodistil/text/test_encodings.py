import gzip
import random
from pathlib import Path

import pytest

from autodistil.errors import InvalidInput
from autodistil.text.encodings import open_text

TEXT = "Ça va, naïve Ærø? \N{FISH} 川は夜に増水した。\nनदी\n"
MARKED = {
    "utf-8": b"\xef\xbb\xbf",
    "utf-16-le": b"\xff\xfe",
    "utf-16-be": b"\xfe\xff",
    "utf-32-le": b"\xff\xfe\0\0",
    "utf-32-be": b"\0\0\xfe\xff",
}


def read(path: Path) -> str:
    with open_text(path) as (_, text):
        return text.read()


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["x.txt", "x.txt.gz"])
@pytest.mark.parametrize("encoding", MARKED)
def test_marked_text_is_read_in_its_encoding_without_the_mark(
    tmp_path: Path, encoding: str, name: str
) -> None:
    text = TEXT * 5000
    assert read(write(tmp_path / name, MARKED[encoding] + text.encode(encoding))) == text


def test_text_without_a_mark_is_utf_8(tmp_path: Path) -> None:
    assert read(write(tmp_path / "x.txt", TEXT.encode())) == TEXT
    assert read(write(tmp_path / "x.txt", b"")) == ""
    assert read(write(tmp_path / "x.TXT", b"one\r\ntwo\rthree")) == "one\ntwo\nthree"
    (tmp_path / "y.GZ").write_bytes(gzip.compress(TEXT.encode()))
    assert read(tmp_path / "y.GZ") == TEXT


@pytest.mark.parametrize("before", [0, 1, 70_000, 300_001])
@pytest.mark.parametrize("name", ["x.txt", "x.txt.gz"])
@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_text_of_windows_is_refused_with_the_place_and_what_to_do(
    tmp_path: Path, name: str, before: int, encoding: str
) -> None:
    path = write(tmp_path / name, ("a" * before + "é ban").encode(encoding))
    with pytest.raises(InvalidInput) as caught:
        read(path)
    message = caught.value.detail
    assert message.startswith(f"{path} is not UTF-8: byte {before:,}")
    assert "counted from 0, is 0xe9." in message
    assert "iconv -f WINDOWS-1252 -t UTF-8" in message
    assert ("gzip -dc" in message) == (path.suffix == ".gz")


def test_the_place_of_a_wrong_byte_counts_the_mark_and_is_not_that_of_a_letter(
    tmp_path: Path,
) -> None:
    content = MARKED["utf-8"] + ("ä" * 40_000).encode() + b"\xff"
    with pytest.raises(InvalidInput, match=r"byte 80,003, counted from 0, is 0xff"):
        read(write(tmp_path / "x.txt", content))
    with pytest.raises(InvalidInput, match=r"is not UTF-8: byte 2, counted from 0, is 0xc3"):
        read(write(tmp_path / "x.txt", b"ab\xc3"))


@pytest.mark.parametrize("content", [b"\xff\xfea\0b", b"\xff\xfea\0\0\xdcb\0"])
def test_damaged_utf_16_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InvalidInput, match="says that it is UTF-16, and is not: byte 4"):
        read(write(tmp_path / "x.txt", content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PAR1" + bytes(64) + b"PAR1", "is no text: it holds zero bytes.*dataset:.*x.txt"),
        (
            TEXT.encode("utf-16-le"),
            "is no text: it holds zero bytes.*UTF-16 with a byte-order mark",
        ),
        (gzip.compress(b"text"), "is a gzip file; give it a name that ends in .gz"),
        (b"%PDF-1.7\n\xe2\xe3\xcf\xd3\nx\x9c\x02\x10", "is no text: byte 9.* control characters"),
    ],
    ids=["parquet", "UTF-16", "gzip", "PDF"],
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=f"x.txt {message}"):
        read(write(tmp_path / "x.txt", content))


@pytest.mark.parametrize("damage", ["truncated", "no gzip", "flipped", "of another text"])
def test_a_damaged_gzip_file_is_named(tmp_path: Path, damage: str) -> None:
    letters = "".join(random.Random(0).choices("abcdef", k=9000))
    whole = bytearray(gzip.compress(letters.encode()))
    if damage == "flipped":
        whole[len(whole) // 2] ^= 0xFF
    if damage == "of another text":  # and in another encoding, which is not what is wrong with it
        whole = bytearray(gzip.compress(b"\xe9" + letters.encode()))
        whole[-6] ^= 0xFF
    content = {"truncated": bytes(whole[:-200]), "no gzip": b"plain text"}.get(damage, bytes(whole))
    (tmp_path / "x.txt.gz").write_bytes(content)
    with pytest.raises(InvalidInput, match="x.txt.gz is no whole gzip file .*copy or download"):
        read(tmp_path / "x.txt.gz")


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="gone.txt cannot be read: No such file"):
        read(tmp_path / "gone.txt")
