"""The teacher's vectors are worked out once, and kept."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from autodistil.errors import InvalidInput
from autodistil.models.teacher import Teacher
from autodistil.text.corpus import TokenizedText
from autodistil.text.passages import Passages, divide
from autodistil.text.vocabulary_texts import Texts
from autodistil.training.start import teacher_encoder
from autodistil.training.teacher_vectors import TeacherVectors

LONGEST = 32


class Counting:
    """The embedder, which counts the passages that it is asked for."""

    def __init__(self, embedder: Teacher) -> None:
        self._teacher, self._encoder = embedder, teacher_encoder(embedder)
        self.rows: list[tuple[int, ...]] = []
        self.slots: list[int] = []

    @torch.inference_mode()
    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        assert self._teacher.embedding
        self.slots.append(input_ids.numel())
        for ids, mask in zip(input_ids, attention_mask, strict=True):
            self.rows.append(tuple(ids[mask.bool()].tolist()))
        return self._encoder.vectors(
            input_ids, attention_mask, self._teacher.architecture, self._teacher.embedding.pooling
        )


@pytest.fixture
def embed(embedder: Teacher) -> Counting:
    return Counting(embedder)


@pytest.fixture(scope="module")
def text(embedder_texts: Texts) -> TokenizedText:
    return embedder_texts.own.train


@pytest.fixture(scope="module")
def passages(text: TokenizedText) -> Passages:
    return divide(text, (16, LONGEST), (2.0, 1.0))


def everything(passages: Passages) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.arange(len(passages))


def test_vectors_are_the_teachers_of_length_one_in_the_order_asked_for(
    embed: Counting, text: TokenizedText, passages: Passages, embedder: Teacher
) -> None:
    vectors = TeacherVectors(embed, text, passages, 64, LONGEST)
    asked = np.array([5, 2, 90, 0, 2])
    found = vectors.fetch(asked)
    assert (found.dtype, tuple(found.shape)) == (torch.float32, (5, 64))
    for row, passage in zip(found, asked, strict=True):
        batch = text.read(passages.first[[passage]], passages.end[[passage]], LONGEST)
        expected = F.normalize(embed(batch.input_ids, batch.attention_mask), dim=-1)[0]
        assert torch.allclose(row, expected, atol=1e-3)
    assert torch.equal(vectors.fetch(asked), found)


@pytest.mark.parametrize("kept", ["in memory", "on disk"])
def test_each_passage_is_given_to_the_teacher_once(
    kept: str, embed: Counting, text: TokenizedText, passages: Passages, tmp_path: Path
) -> None:
    path = tmp_path / "new" / "vectors.f16" if kept == "on disk" else None
    vectors = TeacherVectors(embed, text, passages, 64, LONGEST, path)
    rng = np.random.default_rng(0)
    for _ in range(30):
        vectors.fetch(rng.choice(len(passages), 20, replace=False))
    first = vectors.fetch(everything(passages))
    assert len(embed.rows) == len(passages)
    assert torch.equal(vectors.fetch(everything(passages)), first)
    assert len(embed.rows) == len(passages)
    assert max(embed.slots) <= 4096


def test_vectors_on_disk_outlive_the_run(
    embed: Counting, text: TokenizedText, passages: Passages, tmp_path: Path
) -> None:
    path = tmp_path / "vectors.f16"
    first = TeacherVectors(embed, text, passages, 64, LONGEST, path).fetch(everything(passages))
    assert path.stat().st_size == 2 * 64 * len(passages)
    embed.rows.clear()
    again = TeacherVectors(embed, text, passages, 64, LONGEST, path).fetch(everything(passages))
    assert torch.equal(again, first)
    assert not embed.rows


def test_two_runs_share_what_either_worked_out(
    embed: Counting, text: TokenizedText, passages: Passages, tmp_path: Path
) -> None:
    one, other = (
        TeacherVectors(embed, text, passages, 64, LONGEST, tmp_path / "vectors.f16")
        for _ in range(2)
    )
    half = len(passages) // 2
    first = one.fetch(np.arange(half))
    assert torch.equal(other.fetch(np.arange(half)), first)
    rest = other.fetch(np.arange(half, len(passages)))
    assert torch.equal(one.fetch(everything(passages)), torch.cat([first, rest]))
    assert len(embed.rows) == len(passages)


@pytest.mark.parametrize("cut", [0, 1, 20, 40])
def test_a_row_that_was_cut_off_is_worked_out_again(
    cut: int, embed: Counting, text: TokenizedText, passages: Passages, tmp_path: Path
) -> None:
    path = tmp_path / "vectors.f16"
    whole = TeacherVectors(embed, text, passages, 64, LONGEST, path).fetch(everything(passages))
    stored = np.memmap(path, np.float16, "r+", shape=(len(passages), 64))
    stored[3, cut:] = 0
    embed.rows.clear()
    found = TeacherVectors(embed, text, passages, 64, LONGEST, path).fetch(everything(passages))
    assert len(embed.rows) == 1
    assert torch.allclose(found, whole, atol=1e-3)


def test_rows_that_are_no_numbers_are_worked_out_again(
    embed: Counting, text: TokenizedText, passages: Passages, tmp_path: Path
) -> None:
    path = tmp_path / "vectors.f16"
    whole = TeacherVectors(embed, text, passages, 64, LONGEST, path).fetch(everything(passages))
    stored = np.memmap(path, np.float16, "r+", shape=(len(passages), 64))
    stored[7, 5], stored[8, 5] = np.nan, np.inf
    embed.rows.clear()
    found = TeacherVectors(embed, text, passages, 64, LONGEST, path).fetch(everything(passages))
    assert len(embed.rows) == 2
    assert torch.allclose(found, whole, atol=1e-3)


@pytest.mark.parametrize("size", [0, 10, 1_000_000])
def test_a_file_of_another_size_is_not_believed(
    size: int, embed: Counting, text: TokenizedText, passages: Passages, tmp_path: Path
) -> None:
    path = tmp_path / "vectors.f16"
    path.write_bytes(b"\x11" * size)
    vectors = TeacherVectors(embed, text, passages, 64, LONGEST, path)
    vectors.fetch(everything(passages))
    assert path.stat().st_size == 2 * 64 * len(passages)
    assert len(embed.rows) == len(passages)


def test_a_file_that_cannot_be_written_is_refused(
    embed: Counting, text: TokenizedText, passages: Passages, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "vectors.f16", tmp_path):
        with pytest.raises(InvalidInput, match=f"{path} cannot be written"):
            TeacherVectors(embed, text, passages, 64, LONGEST, path)


def test_the_centre_is_the_mean_of_all_vectors_of_a_small_text(
    embed: Counting, text: TokenizedText, passages: Passages
) -> None:
    vectors = TeacherVectors(embed, text, passages, 64, LONGEST)
    centre = vectors.centre()
    assert torch.allclose(centre, vectors.fetch(everything(passages)).mean(0), atol=1e-6)
    assert 0 < float(centre.norm()) < 1


def test_long_passages_are_cut_where_the_teacher_would_cut_them(
    embed: Counting, text: TokenizedText, passages: Passages
) -> None:
    TeacherVectors(embed, text, passages, 64, 12).fetch(everything(passages))
    assert max(map(len, embed.rows)) == 12
