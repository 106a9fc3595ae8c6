from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from autodistil.errors import InvalidInput
from autodistil.models.teacher import Teacher
from autodistil.text.corpus import tokenize_corpus
from autodistil.text.documents import Document, WholeTexts
from autodistil.text.mixed_sources import MixedSources, open_corpus
from autodistil.text.text_files import TextFiles


@dataclass(frozen=True)
class Letters:
    """A source of texts that are one letter again and again.

    Attributes:
        letter: The letter, which is the source's name as well.
        count: Number of texts.
        length: Characters of a text.
        known: Whether the size is known.
    """

    letter: str
    count: int
    length: int = 1
    known: bool = True

    @property
    def name(self) -> str:
        return self.letter

    def size(self) -> int | None:
        return self.count if self.known else None

    def fingerprint(self) -> str:
        return f"{self.count} {self.length}"

    def documents(self) -> Iterator[Document]:
        for number in range(self.count):
            yield Document(self.letter * self.length, number + 1)


def letters(source: MixedSources) -> str:
    return "".join(document.text for document in source.documents())


def test_the_shares_of_the_text_are_the_weights_at_any_moment() -> None:
    mix = MixedSources((Letters("a", 9000), Letters("b", 9000, length=7)), (1.0, 0.3))
    text = letters(mix)
    assert text == letters(mix)
    for end in range(100, len(text), 500):
        counts = Counter(text[:end])
        assert abs(counts["a"] * 0.3 - counts["b"]) <= 8
    assert text.count("a") == 9000  # which ended first


@pytest.mark.parametrize("place", [0, 1])
def test_with_weights_the_mix_ends_with_the_first_source_that_ends(place: int) -> None:
    counts = [100, 100]
    counts[place] = 10
    mix = MixedSources((Letters("a", counts[0]), Letters("b", counts[1])), (2.0, 1.0))
    found = Counter(letters(mix))
    assert found["ab"[place]] == 10
    assert found["a"] == pytest.approx(2 * found["b"], abs=2)
    assert mix.size() is None


def test_without_weights_all_of_every_source_is_read() -> None:
    mix = MixedSources((Letters("a", 3), Letters("b", 6)))
    assert letters(mix) == "abababbbb"
    assert [document.end for document in mix.documents()] == [*range(1, 10)]
    assert mix.size() == 9
    assert MixedSources((Letters("a", 3), Letters("b", 6, known=False))).size() is None


def test_the_fingerprint_is_of_names_weights_and_contents() -> None:
    a, b = Letters("a", 3), Letters("b", 3)
    mixes = [
        MixedSources((a, b)),
        MixedSources((b, a)),
        MixedSources((a, b), (1.0, 1.0)),
        MixedSources((a, b), (1.0, 2.0)),
        MixedSources((a, replace(b, letter="c")), (1.0, 1.0)),
        MixedSources((a, replace(b, count=4)), (1.0, 1.0)),
    ]
    assert len({mix.fingerprint() for mix in mixes}) == len(mixes)
    assert [mix.name for mix in mixes[:4]] == ["a + b", "b + a", "a x 1 + b x 1", "a x 1 + b x 2"]


def test_a_mix_is_opened_by_the_names_of_its_sources(tmp_path: Path) -> None:
    a, b = TextFiles(Path("a")), WholeTexts(TextFiles(Path("b"), by_line=True))
    assert open_corpus(["a"]) == open_corpus(["a=0.5"]) == a
    assert open_corpus(["a", "sentences:b"]) == MixedSources((a, b))
    assert open_corpus(["a", "sentences:b=0.3"]) == MixedSources((a, b), (1.0, 0.3))
    (tmp_path / "x=2").mkdir()
    assert open_corpus([f"{tmp_path}/x=2"]) == TextFiles(tmp_path / "x=2")
    assert open_corpus([f"{tmp_path}/x=2=3", "a"]) == MixedSources(
        (TextFiles(tmp_path / "x=2"), a), (3.0, 1.0)
    )


@pytest.mark.parametrize("weight", ["0", "-1", "1e999", "1.2.3", "e"])
def test_a_weight_that_is_none_is_refused(weight: str) -> None:
    with pytest.raises(InvalidInput, match=f"{weight} is no weight; write a number more than 0"):
        open_corpus(["a", f"b={weight}"])
    with pytest.raises(InvalidInput, match="Name the text"):
        open_corpus([])


def test_sentences_stay_whole_in_a_mix(teacher: Teacher, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Ba be. Bi bo.\n" * 30)
    (tmp_path / "b.jsonl").write_text('{"text": "Da. De. Di. Do."}\n' * 30)
    mix = open_corpus([f"sentences:{tmp_path / 'a.txt'}", str(tmp_path / "b.jsonl")])
    corpus = tokenize_corpus(mix, teacher.tokenizer, tmp_path / "cache")
    assert len(corpus.train) + len(corpus.held_out) == 30 * 1 + 30 * 4
