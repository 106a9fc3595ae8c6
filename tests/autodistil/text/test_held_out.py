import gzip
from pathlib import Path

import pytest

from autodistil.errors import InvalidInput
from autodistil.text.held_out import held_out_sentences, is_held_out, training_sentences


def test_about_one_sentence_in_32_is_held_out() -> None:
    held_out = sum(is_held_out(f"This is sentence {i}.") for i in range(32_000))
    assert 900 < held_out < 1_100


def test_the_answer_is_the_same_in_every_program() -> None:
    # `printf 'sentence 10' | sha256sum` begins with 07; that of 'sentence 168' with 08.
    assert is_held_out("sentence 10")
    assert not is_held_out("sentence 168")


def test_white_space_around_a_sentence_does_not_count() -> None:
    assert is_held_out("  sentence 10\r\n")


def test_half_a_surrogate_pair_is_a_sentence_too() -> None:
    assert not is_held_out("\ud83d")


def test_held_out_and_training_sentences_are_all_sentences_and_none_is_both(tmp_path: Path) -> None:
    lines = [f"Sentence {i}." for i in range(3_000)]
    (tmp_path / "a.txt").write_text("\n".join(lines[:2_000]) + "\n\n  \n")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress("\r\n".join(lines[1_500:]).encode()))
    held_out = held_out_sentences([tmp_path], 10_000)
    training = training_sentences([tmp_path])
    assert sorted(held_out + training) == sorted(lines)
    assert all(map(is_held_out, held_out))
    assert not any(map(is_held_out, training))


def test_a_sample_is_the_same_whatever_the_files(tmp_path: Path) -> None:
    lines = [f"Sentence {i}." for i in range(3_000)]
    (tmp_path / "a.txt").write_text("\n".join(lines))
    (tmp_path / "z.txt").write_text("\n".join(reversed(lines[1_000:])))
    (tmp_path / "b.txt").write_text("\n".join(lines[:1_000]))
    sample = held_out_sentences([tmp_path / "a.txt"], 20)
    assert len(sample) == 20
    assert held_out_sentences([tmp_path / "z.txt", tmp_path / "b.txt"], 20) == sample


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"x\0y\n", "zero bytes"),
        ("a.txt.gz", b"no gzip", "cannot be read"),
        ("a.txt.gz", gzip.compress(b"a sentence\n" * 99)[:-9], "cannot be read"),
        ("a.md", b"text", "no files named"),
    ],
)
def test_what_is_no_text_is_refused(name: str, content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=reason):
        held_out_sentences([tmp_path], 10)
