from pathlib import Path

import pytest

from autodistil.text.dataset_sources import DatasetFiles
from autodistil.text.documents import CorpusSource, Document, WholeTexts
from autodistil.text.sources import open_source
from autodistil.text.text_files import TextFiles


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("some/text.txt", TextFiles(Path("some/text.txt"))),
        ("dataset:some", DatasetFiles(Path("some"))),
        ("sentences:some", WholeTexts(TextFiles(Path("some"), by_line=True))),
        ("sentences:dataset:some", WholeTexts(DatasetFiles(Path("some")))),
    ],
)
def test_a_source_is_opened_by_its_name(name: str, source: CorpusSource) -> None:
    assert open_source(name) == source


def test_sentences_are_documents_of_their_own_taken_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One. Two!\n\n  three \nvier. fünf")
    (tmp_path / "b.jsonl").write_text('{"text": "Six. Seven.\\nEight."}\n')
    source = open_source(f"sentences:{tmp_path}")
    assert [(one.text, one.whole) for one in source.documents()] == [
        ("One. Two!", True),
        ("three", True),
        ("vier. fünf", True),
        ("Six. Seven.\nEight.", True),
    ]
    plain = open_source(str(tmp_path))
    assert next(plain.documents()) == Document("One. Two!\n\n  three \nvier. fünf", 31)
    assert (source.name, source.size()) == (plain.name, plain.size())
    by_line = TextFiles(tmp_path, by_line=True)
    assert len({one.fingerprint() for one in (source, plain, by_line)}) == 3
