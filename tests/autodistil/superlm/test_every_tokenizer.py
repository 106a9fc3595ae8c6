"""Teachers with tokenizers of every kind, and their students with them."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from autodistil.downstream.embedder import open_embedder
from autodistil.errors import InvalidInput
from autodistil.extraction.handover import extract_student
from autodistil.models.teacher import load_teacher
from autodistil.text.corpus import tokenize_corpus
from autodistil.text.vocabulary_texts import read_texts
from tests.factories import (
    EMBEDDER_SETTINGS,
    STOCK_SPACE,
    make_bundle,
    whole_texts,
    write_embedder,
)
from tests.tokenizers import save_tokenizer

TEXTS = ["Ba be bi, zo!", "Ünd <mask> zo", "ba " * 300]
SPACE = STOCK_SPACE.model_copy(update={"layers": (2,), "hidden": (32,), "ffn_percent": (200,)})


@pytest.mark.parametrize("kind", ["bpe", "unigram", "bare"])
def test_students_read_text_as_their_teacher_does(
    kind: str, corpus_folder: Path, tmp_path: Path
) -> None:
    folder = write_embedder(tmp_path / "teacher", vocab_size=500)
    save_tokenizer(kind, folder)
    teacher = load_teacher(str(folder))
    corpus = tokenize_corpus(corpus_folder, teacher.tokenizer, tmp_path / "cache")
    settings = EMBEDDER_SETTINGS.model_copy(update={"tokens": 300})
    superlm = make_bundle(
        teacher, SPACE, whole_texts(corpus, teacher), tmp_path, "students", settings
    )
    extract_student(superlm, superlm.candidates[0], tmp_path / "student")
    whole, own = (
        AutoTokenizer.from_pretrained(place, trust_remote_code=False)
        for place in (folder, tmp_path / "student")
    )
    for text in TEXTS:
        assert own(text)["input_ids"] == whole(text)["input_ids"]
    assert own.pad_token_id == whole.pad_token_id
    vectors = open_embedder(tmp_path / "student").encode(TEXTS)
    alone = open_embedder(tmp_path / "student").encode(TEXTS[:1])
    assert abs(vectors[0] - alone[0]).max() < 1e-5  # padding beside a long text changes nothing
    with pytest.raises(InvalidInput, match="only that of a WordPiece one; leave `vocab` out"):
        read_texts(corpus_folder, teacher.tokenizer, (200,), tmp_path / "cache")
