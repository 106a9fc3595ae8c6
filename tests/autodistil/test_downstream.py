import random
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from autodistil.downstream import SimilarityPairs, folder_embedder, read_stsb, stsb_spearman
from autodistil.elastic import mean_pool
from autodistil.errors import InvalidInput
from autodistil.export import export_transformers
from autodistil.importance import teacher_encoder
from autodistil.slicing import slice_student
from autodistil.superlm import SuperLM
from autodistil.teacher import Teacher
from tests.factories import sentence

HEADER = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore"


def write_tsv(path: Path, *rows: tuple[str, str, object]) -> Path:
    lines = [HEADER]
    lines += [
        f"{i}\tg\tf\t2012\t1\tn\tn\t{a}\t{b}\t{score}" for i, (a, b, score) in enumerate(rows)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_pairs_are_read_from_the_folder_or_its_sub_folder(tmp_path: Path) -> None:
    rows = [("a b", "c", 5.0), ("d", "e", 0.25)]
    write_tsv(tmp_path / "STS-B" / "dev.tsv", *rows)
    expected = SimilarityPairs(["a b", "d"], ["c", "e"], [5.0, 0.25])
    assert read_stsb(tmp_path) == read_stsb(tmp_path / "STS-B") == expected
    write_tsv(tmp_path / "train.tsv", *rows, rows[0])
    assert len(read_stsb(tmp_path, "train").scores) == 3


def test_quotes_and_odd_line_separators_are_text(tmp_path: Path) -> None:
    rows = [('"Open quote', 'it\'s "so"', 1.0), ("one\u2028two", "\x85 three \x0c", 2.0)]
    write_tsv(tmp_path / "dev.tsv", *rows)
    pairs = read_stsb(tmp_path)
    assert list(zip(pairs.first, pairs.second, pairs.scores, strict=True)) == rows


def test_a_missing_file_is_refused_with_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"STS-B/test\.tsv"):
        read_stsb(tmp_path, "test")


@pytest.mark.parametrize("content", ["", "\n", "a\tb\tc\n1\t2\t3\n", "sentence1\tscore\nx\t1\n"])
def test_a_file_without_the_columns_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "dev.tsv").write_text(content)
    with pytest.raises(InvalidInput, match="no columns"):
        read_stsb(tmp_path)


@pytest.mark.parametrize("line", ["", "only\tthree\tfields", "0\tg\tf\t1\t1\tn\tn\ta\tb\thigh"])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    path = write_tsv(tmp_path / "dev.tsv", ("a", "b", 1.0), ("c", "d", 2.0))
    path.write_text(path.read_text() + line + "\n" + "more")
    with pytest.raises(InvalidInput, match=r"dev\.tsv, line 4: not a scored pair"):
        read_stsb(tmp_path)


def test_one_pair_is_too_few(tmp_path: Path) -> None:
    write_tsv(tmp_path / "dev.tsv", ("a", "b", 1.0))
    with pytest.raises(InvalidInput, match="at least two pairs"):
        read_stsb(tmp_path)


def test_spearman_is_of_ranks_alone() -> None:
    angles = {"x": 0.0, "a": 0.1, "b": 0.5, "c": 1.0, "d": 2.0}

    def direction(texts: list[str]) -> torch.Tensor:
        radians = torch.tensor([angles[text] for text in texts])
        return torch.stack((radians.cos(), radians.sin()), dim=1)

    def score(*scores: float) -> float:
        return stsb_spearman(direction, SimilarityPairs(["x"] * 4, list("abcd"), list(scores)))

    assert score(5, 3, 2.9, 0) == pytest.approx(1.0)
    assert score(0, 1, 2, 5) == pytest.approx(-1.0)
    # Ranks 1 2 4 3 against 1 2 3 4: 1 - 6 x (0 + 0 + 1 + 1) / (4 x 15).
    assert score(5, 4, 0, 1) == pytest.approx(0.8)


def test_vectors_are_those_of_each_text_alone_whatever_the_order(
    teacher: Teacher, teacher_folder: Path
) -> None:
    rng = random.Random(0)
    texts = [" ".join(sentence(rng) for _ in range(rng.randint(1, 6))) for _ in range(23)]
    assert [len(text) for text in texts] != sorted(len(text) for text in texts)
    embed = folder_embedder(teacher_folder, batch_size=4)
    vectors = embed(texts)
    encoder = teacher_encoder(teacher)
    for text, found in zip(texts, vectors, strict=True):
        tokens = teacher.tokenizer(text, return_tensors="pt")
        mask = tokens["attention_mask"]
        hidden = encoder(tokens["input_ids"], mask, teacher.architecture).hidden
        assert torch.allclose(found, mean_pool(hidden, mask)[0], atol=1e-5)


def test_long_texts_are_cut_to_128_tokens(teacher_folder: Path) -> None:
    embed = folder_embedder(teacher_folder)
    short, long, longer = embed(["ba " * 20, "ba " * 126, "ba " * 126 + "zo " * 500])
    assert torch.allclose(long, longer, atol=1e-5)
    assert not torch.allclose(short, long, atol=1e-3)


def test_the_score_of_a_student_folder_is_a_correlation(
    stock_superlm: SuperLM, tmp_path: Path
) -> None:
    candidate = stock_superlm.candidates[0]
    tensors = slice_student(stock_superlm, candidate.architecture)
    export_transformers(stock_superlm, candidate, tensors, tmp_path / "student")
    embed, rng = folder_embedder(tmp_path / "student"), random.Random(0)
    first, second = ([sentence(rng) for _ in range(12)] for _ in range(2))
    cosines = F.cosine_similarity(embed(first), embed(second))
    pairs = SimilarityPairs(first, second, (cosines * 3 + 2).tolist())
    assert stsb_spearman(embed, pairs) == pytest.approx(1.0)


def test_a_student_with_code_of_its_own_is_refused_unrun(
    free_superlm: SuperLM, tmp_path: Path
) -> None:
    candidate = free_superlm.candidates[0]
    tensors = slice_student(free_superlm, candidate.architecture)
    export_transformers(free_superlm, candidate, tensors, tmp_path)
    (tmp_path / "modeling_student.py").write_text("raise SystemExit('ran')")
    with pytest.raises(InvalidInput, match="custom code"):
        folder_embedder(tmp_path)


@pytest.mark.parametrize("damage", ["empty", "no weights", "bad weights", "bad config"])
def test_a_folder_without_a_loadable_model_is_refused(
    damage: str, stock_superlm: SuperLM, tmp_path: Path
) -> None:
    if damage != "empty":
        candidate = stock_superlm.candidates[0]
        tensors = slice_student(stock_superlm, candidate.architecture)
        export_transformers(stock_superlm, candidate, tensors, tmp_path)
    if damage == "no weights":
        (tmp_path / "model.safetensors").unlink()
    if damage == "bad weights":
        (tmp_path / "model.safetensors").write_bytes(b"x" * 100)
    if damage == "bad config":
        (tmp_path / "config.json").write_text("{")
    with pytest.raises(InvalidInput, match="no model that transformers can load"):
        folder_embedder(tmp_path)
