"""Data sets on disk are read for real; the hub is one that answers from disk."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import pytest

from autodistil.errors import InvalidInput
from autodistil.models.teacher import Teacher
from autodistil.text.corpus import tokenize_corpus
from autodistil.text.dataset_sources import DatasetFiles, HubDataset
from autodistil.text.sources import open_source

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TEXTS = ["Ba be. Bi bo.", "Da de.", "Fa fe fi.", "Ga."]


def write(path: Path, columns: dict[str, list[Any]]) -> Path:
    """Write a data set as a .parquet file, or as `save_to_disk` does."""
    rows = datasets.Dataset.from_dict(columns)
    if path.suffix == ".parquet":
        path.parent.mkdir(parents=True, exist_ok=True)
        rows.to_parquet(path)
    else:
        rows.save_to_disk(path)
    return path


def texts_of(source: DatasetFiles | HubDataset) -> list[str]:
    return [document.text for document in source.documents()]


@pytest.mark.parametrize("name", ["one.parquet", "saved"])
def test_the_text_column_is_read_row_by_row(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, {"id": [1, 2, 3, 4], "text": TEXTS})
    source = DatasetFiles(path)
    assert texts_of(source) == TEXTS
    assert [document.end for document in source.documents()] == [1, 2, 3, 4]
    assert (source.name, source.size()) == (name, None)


def test_the_files_of_a_folder_are_read_in_a_fixed_order(tmp_path: Path) -> None:
    write(tmp_path / "b" / "x.parquet", {"text": TEXTS[2:]})
    write(tmp_path / "a.parquet", {"text": TEXTS[:2]})
    (tmp_path / "README.md").write_text("no data")
    source = DatasetFiles(tmp_path)
    assert texts_of(source) == TEXTS
    assert [document.end for document in source.documents()] == [1, 2, 3, 4]
    first = source.fingerprint()
    write(tmp_path / "a.parquet", {"text": ["Other."]})
    assert len(first) == len(source.fingerprint()) == 64
    assert first != source.fingerprint()


def test_long_texts_are_cut(tmp_path: Path) -> None:
    source = DatasetFiles(write(tmp_path / "x.parquet", {"text": ["ab" * 150_000, "c"]}))
    assert [len(text) for text in texts_of(source)] == [200_000, 100_000, 1]


def test_a_data_set_is_tokenised_once(
    teacher: Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(f"dataset:{write(tmp_path / 'x.parquet', {'text': TEXTS})}")
    first = tokenize_corpus(source, teacher.tokenizer, tmp_path / "cache")
    monkeypatch.setitem(sys.modules, "datasets", None)  # as if it had been removed since
    again = tokenize_corpus(source, teacher.tokenizer, tmp_path / "cache")
    assert first.train.tokens + first.held_out.tokens > 10
    assert (again.train.tokens, again.sha256) == (first.train.tokens, first.sha256)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"body": TEXTS, "id": [1, 2, 3, 4]}, "row 1: the column 'text' .*; there are body, id"),
        ({"text": [1, 2]}, "row 1: the column 'text' must hold a string"),
        ({"text": ["fine", None]}, "row 2: the column 'text' must hold a string"),
    ],
)
@pytest.mark.parametrize("name", ["x.parquet", "saved"])
def test_rows_without_text_are_named(
    tmp_path: Path, name: str, columns: dict[str, list[Any]], message: str
) -> None:
    source = DatasetFiles(write(tmp_path / name, columns))
    with pytest.raises(InvalidInput, match=message):
        texts_of(source)


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("text\nBa be.\n")
    for path in (tmp_path, tmp_path / "x.csv"):
        with pytest.raises(InvalidInput, match=r"\*\.parquet, \*\.arrow"):
            texts_of(DatasetFiles(path))
    with pytest.raises(InvalidInput, match="missing: there is no such file"):
        texts_of(DatasetFiles(tmp_path / "missing"))


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_a_damaged_file_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(b"PAR1 and nothing more")
    with pytest.raises(InvalidInput, match=f"x.{suffix} cannot be read"):
        texts_of(DatasetFiles(path))


def test_without_the_library_the_user_is_told_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    (tmp_path / "x.parquet").touch()
    with pytest.raises(InvalidInput, match=r"pip install 'autodistil\[hub\]'"):
        texts_of(DatasetFiles(tmp_path))


# --- the hub ---------------------------------------------------------------------------------


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What a hub with the one data set `owner/words` is asked for."""
    calls: list[tuple[Any, ...]] = []
    path = str(write(tmp_path / "hub.parquet", {"text": TEXTS}))
    load = datasets.load_dataset

    def load_dataset(name: str, config: str | None, **options: Any) -> Any:
        calls.append((name, config, options["split"], options["revision"], options["streaming"]))
        if options["split"] == "broken":
            raise ConnectionError("the line is dead")
        return load("parquet", data_files=path, split="train", streaming=options["streaming"])

    def dataset_info(hub: object, name: str, revision: str | None = None) -> SimpleNamespace:
        calls.append((name, revision))
        if name != "owner/words":
            raise ConnectionError("no such data set")
        return SimpleNamespace(sha=COMMIT)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", dataset_info)
    return calls


@pytest.mark.parametrize(
    ("name", "revision", "config", "split"),
    [
        ("owner/words", None, None, "train"),
        ("owner/words:en", None, "en", "train"),
        ("owner/words:en-1.0:test", None, "en-1.0", "test"),
        ("owner/words::test", None, None, "test"),
        ("owner/words@v2:en", "v2", "en", "train"),
        ("owner/words@refs/convert/parquet", "refs/convert/parquet", None, "train"),
    ],
)
def test_a_data_set_of_the_hub_is_streamed_at_a_fixed_commit(
    asked: list[tuple[Any, ...]], name: str, revision: str | None, config: str | None, split: str
) -> None:
    source = open_source(f"hub:{name}")
    assert source == HubDataset("owner/words", config, split, COMMIT)
    assert source.name == f"owner/words@{COMMIT}:{config or ''}:{split}"
    assert [document.text for document in source.documents()] == TEXTS
    assert asked == [("owner/words", revision), ("owner/words", config, split, COMMIT, True)]


def test_a_commit_is_not_looked_up(asked: list[tuple[Any, ...]]) -> None:
    assert open_source(f"hub:words@{COMMIT}") == HubDataset("words", None, "train", COMMIT)
    assert not asked


def test_the_fingerprint_is_of_name_configuration_split_and_commit() -> None:
    sources = [
        HubDataset("a", None, "train", COMMIT),
        HubDataset("b", None, "train", COMMIT),
        HubDataset("a", "en", "train", COMMIT),
        HubDataset("a", None, "test", COMMIT),
        HubDataset("a", None, "train", COMMIT[::-1]),
    ]
    found = {source.fingerprint() for source in sources}
    assert len(found) == len(sources)
    assert {len(fingerprint) for fingerprint in found} == {64}


@pytest.mark.parametrize("name", ["", "a b", "a/b/c", "owner/words:a:b:c", ":x", "a@:x", "../x y"])
def test_what_names_no_data_set_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="names no data set; write hub:NAME"):
        open_source(f"hub:{name}")


def test_a_hub_that_does_not_answer_is_said_to(asked: list[tuple[Any, ...]]) -> None:
    with pytest.raises(InvalidInput, match="nobody/nothing cannot be found on the hub"):
        open_source("hub:nobody/nothing")
    with pytest.raises(InvalidInput, match="cannot be read: the line is dead"):
        list(open_source("hub:owner/words::broken").documents())
