import gzip
import json
from pathlib import Path

import pytest

from autodistil.errors import InvalidInput
from autodistil.text.source_files import hash_files
from autodistil.text.text_files import TextFiles
from tests.factories import write_corpus


def texts_of(path: Path) -> list[str]:
    return [document.text for document in TextFiles(path).documents()]


def test_documents_of_every_kind_of_file_are_read_in_a_fixed_order(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.jsonl").write_text('{"text": "two", "id": 2}\n\n{"text": "three"}\n')
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"text": "one"}\n'))
    (tmp_path / "sub" / "c.txt").write_text("four\nfour")
    (tmp_path / "sub" / "d.txt.gz").write_bytes(gzip.compress("fünf".encode()))
    (tmp_path / "README.md").write_text("not text")
    texts = ["one", "two", "three", "four\nfour", "fünf"]
    assert texts_of(tmp_path) == texts
    assert texts_of(tmp_path / "b.jsonl") == ["two", "three"]


def test_long_texts_are_cut_and_nothing_is_lost(tmp_path: Path) -> None:
    text = "abcdefghi " * 45_000
    (tmp_path / "book.txt").write_text(text)
    (tmp_path / "book.jsonl").write_text(json.dumps({"text": text}))
    (tmp_path / "book.csv").write_text(f"text\n{text}\n")
    for name in ("book.txt", "book.jsonl", "book.csv"):
        parts = texts_of(tmp_path / name)
        assert [len(part) for part in parts] == [200_000, 200_000, 50_000]
        assert "".join(parts) == text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("not json", "not a JSON object"),
        ('["text"]', "not a JSON object"),
        ('{"body": "x"}', "'text' field; its fields are 'body'"),
        ('{"text": 5}', "'text' is not a string"),
        ('{"text": null}', "'text' is not a string"),
        ("[" * 100_000, "not a JSON object"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "fine"}\n' + line + "\n")
    with pytest.raises(InvalidInput, match=f"x.jsonl, line 2: .*{message}"):
        texts_of(path)


def test_a_folder_without_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.xml").write_text("a,b")
    with pytest.raises(InvalidInput, match=r"\*\.jsonl"):
        TextFiles(tmp_path).files()
    with pytest.raises(InvalidInput, match="missing"):
        TextFiles(tmp_path / "missing").files()


@pytest.mark.parametrize("name", ["x.txt", "x.jsonl"])
def test_an_empty_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(InvalidInput, match=f"{path} is empty; a corpus needs two texts"):
            texts_of(path)
    (tmp_path / "y.txt").write_text("text")
    assert texts_of(tmp_path) == ["text"]


def test_the_fingerprint_is_of_names_and_contents(tmp_path: Path) -> None:
    folder = write_corpus(tmp_path / "corpus", documents=4)
    first = TextFiles(folder).fingerprint()
    assert TextFiles(folder).fingerprint() == first
    (folder / "c.txt").write_text("changed")
    changed = TextFiles(folder).fingerprint()
    (folder / "c.txt").rename(folder / "e.txt")
    assert len({first, changed, TextFiles(folder).fingerprint()}) == 3


def test_half_a_surrogate_pair_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"text": "a \\ud83d b"}')
    assert texts_of(tmp_path) == ["a ? b"]


def test_documents_say_how_far_they_reach_into_the_bytes_of_the_files(tmp_path: Path) -> None:
    source = TextFiles(write_corpus(tmp_path / "corpus"))
    ends = [document.end for document in source.documents()]
    assert ends == sorted(ends)
    assert ends[0] > 0
    assert ends[-1] == source.size() == sum(path.stat().st_size for path in source.files())


@pytest.mark.parametrize("name", ["x.parquet", "x.md", "x", "x.txt.bz2", "x.gz", ".json.bak"])
def test_files_of_other_kinds_are_refused_and_not_taken_for_text(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"text": "text"}')
    message = rf"{name}: text is read from files named \*\.txt, .*\*\.tsv.*dataset:.*{name}"
    with pytest.raises(InvalidInput, match=message):
        texts_of(tmp_path / name)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.TXT", "one. two."),
        ("x.JSONL", '{"id": 1, "text": "one. two."}\n'),
        ("x.ndjson", '{"text": "one. two."}'),
        ("x.json", '{"text": "one. two."}\n\n'),
        ("x.Json", '[{"text": "one. two."}]'),
        ("x.csv", "id,text\n1,one. two.\n"),
        ("x.TSV", "text\tid\none. two.\t1\n"),
    ],
)
def test_the_text_is_read_by_the_name_in_capitals_or_not(
    tmp_path: Path, name: str, content: str, packed: bool
) -> None:
    path = tmp_path / (name + ".GZ" if packed else name)
    path.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
    assert texts_of(path) == texts_of(tmp_path) == ["one. two."]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="gone.txt cannot be read: No such file"):
        hash_files([tmp_path / "gone.txt"])
