import csv
import io
import json
import random
import tracemalloc
from pathlib import Path
from typing import TextIO

import pytest

from autodistil.errors import InvalidInput
from autodistil.text.records import json_texts, table_texts

PATH = Path("x")


def json_of(content: str) -> list[str]:
    return list(json_texts(PATH, io.StringIO(content)))


def table_of(content: str, tabs: bool = False) -> list[str]:
    return list(table_texts(PATH, io.StringIO(content), tabs))


TEXTS = ['plain [1, {"a": 2}]', 'q"uote\\', "", "line\nbreak, ]", "नदी \N{FISH}", "x" * 200_000]


@pytest.mark.parametrize("indent", [None, 2])
def test_arrays_and_lines_of_objects_are_read_however_they_are_written(indent: int | None) -> None:
    rng = random.Random(0)
    texts = rng.choices(TEXTS, k=60)
    rows = [{"id": [{}, i], "text": text} for i, text in enumerate(texts)]
    assert json_of(json.dumps(rows, indent=indent)) == texts
    assert json_of("\n".join(json.dumps(row, indent=indent) for row in rows)) == texts


def test_an_array_may_be_empty() -> None:
    assert json_of(" [ ]\n") == json_of("") == json_of("\n \n") == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"text": "a"}', "the array goes wrong or breaks off after item 1"),
        ('[{"text": "a"} {"text": "b"}]', "the array goes wrong or breaks off after item 1"),
        ('[{"text": "a"}, {"te', "item 2: neither an array of JSON objects nor one object a line"),
        ('[{"text": "a"},]', "item 2: neither"),
        ('[{"text": "a"}] {"text": "b"}', "something follows the array"),
        ('{"text": "a"}\nprose', "item 2: neither"),
        ("prose", r"item 1: neither .* \(Expecting value\)"),
        ('["a", "b"]', "item 1: not a JSON object with a 'text' field"),
        ('{"text": ["a", "b"]}', "item 1: 'text' is not a string"),
        ('{"data": [], "version": 2}', "item 1: .*; its fields are 'data', 'version'"),
        ('[{"text": "a"}, {"text": null}]', "item 2: 'text' is not a string"),
        ("[" * 100_000, "item 1: neither"),
    ],
)
def test_what_is_no_array_or_lines_of_objects_with_text_is_refused(
    content: str, message: str
) -> None:
    with pytest.raises(InvalidInput, match=f"^x[:,] {message}"):
        json_of(content)


class Endless(io.TextIOBase):
    """An array with no end."""

    def __init__(self) -> None:
        self.read_so_far = 0

    def read(self, size: int | None = -1) -> str:
        assert size
        assert size > 0
        start = "[" if not self.read_so_far else ""
        self.read_so_far += size
        return start + '{"text": "some text"},' * (size // 22)


def test_an_array_is_read_piece_by_piece() -> None:
    file = Endless()
    texts = json_texts(PATH, file)
    tracemalloc.start()
    for _ in range(300_000):
        assert next(texts) == "some text"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert file.read_so_far > 6_000_000
    assert peak < 1_000_000


def written(dialect: str, texts: list[str]) -> TextIO:
    file = io.StringIO()
    rows = csv.writer(file, dialect)
    rows.writerows([("id", "text", "note"), *((i, text, "") for i, text in enumerate(texts))])
    file.seek(0)
    return file


def test_the_text_of_a_table_with_commas_may_be_in_quotes() -> None:
    for dialect in ("excel", "unix"):
        assert list(table_texts(PATH, written(dialect, TEXTS), tabs=False)) == TEXTS
    assert table_of("text\n\none\n\n") == ["one"]


def test_quotes_are_nothing_special_in_a_table_with_tabs() -> None:
    content = 'id\ttext \n1\t"Open\n2\tsaid "x", "y"\n3\t"z"\n'
    assert table_of(content, tabs=True) == ['"Open', 'said "x", "y"', '"z"']


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "first line must name the columns, separated by commas, .*; it has nothing"),
        ("a,b\n1,2\n", "one of them 'text'; it has 'a', 'b'"),
        ("id;text\n1;2\n", "it has 'id;text'"),
        ("text,text\n1,2\n", "it has 'text', 'text'"),
        ("id,text\n1,one, two\n", "line 2: 3 cells, where the first line has 2"),
        ("id,text\n1,a\n\n2\n", "line 4: 1 cells"),
        ('id,text\n1,"open\n2,b\n', "line 3: not a table .*end of data"),
    ],
)
def test_a_table_without_text_or_with_broken_rows_is_refused(content: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        table_of(content)
