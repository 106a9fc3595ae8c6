"""One tiny teacher, corpus, and pair of bundles for all tests of the method."""

import shutil
from pathlib import Path

import pytest
import torch

from autodistil.models.teacher import Teacher, load_teacher
from autodistil.superlm.bundle import SuperLM, open_superlm
from autodistil.text.corpus import Corpus, tokenize_corpus
from autodistil.text.vocabulary_texts import Texts, read_texts
from tests.factories import (
    EMBEDDER_SETTINGS,
    EMBEDDER_SPACE,
    FREE_SPACE,
    STOCK_SPACE,
    make_bundle,
    whole_texts,
    write_corpus,
    write_embedder,
    write_teacher,
)

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def teacher_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_teacher(tmp_path_factory.mktemp("teacher") / "tiny-teacher")


@pytest.fixture(scope="session")
def teacher(teacher_folder: Path) -> Teacher:
    return load_teacher(str(teacher_folder))


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def corpus(
    corpus_folder: Path, teacher: Teacher, tmp_path_factory: pytest.TempPathFactory
) -> Corpus:
    return tokenize_corpus(corpus_folder, teacher.tokenizer, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def texts(corpus: Corpus, teacher: Teacher) -> Texts:
    """The corpus for students with all of the teacher's tokens."""
    return whole_texts(corpus, teacher)


@pytest.fixture(scope="session")
def embedder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_embedder(tmp_path_factory.mktemp("embedder") / "tiny-embedder")


@pytest.fixture(scope="session")
def embedder(embedder_folder: Path) -> Teacher:
    return load_teacher(str(embedder_folder))


@pytest.fixture(scope="session")
def embedder_texts(
    corpus_folder: Path, embedder: Teacher, tmp_path_factory: pytest.TempPathFactory
) -> Texts:
    """The corpus in every vocabulary of `EMBEDDER_SPACE`."""
    cache = tmp_path_factory.mktemp("embedder-cache")
    return read_texts(corpus_folder, embedder.tokenizer, EMBEDDER_SPACE.vocab, cache)


@pytest.fixture(scope="session")
def embedder_superlm(
    embedder: Teacher, embedder_texts: Texts, tmp_path_factory: pytest.TempPathFactory
) -> SuperLM:
    """A bundle of narrow students of a sentence embedder. Shared: do not change it."""
    folder = tmp_path_factory.mktemp("embedder-superlm")
    return make_bundle(
        embedder, EMBEDDER_SPACE, embedder_texts, folder, "narrow", EMBEDDER_SETTINGS
    )


@pytest.fixture(scope="session")
def stock_superlm(
    teacher: Teacher, texts: Texts, tmp_path_factory: pytest.TempPathFactory
) -> SuperLM:
    """A bundle of plain BERTs. Shared: copy it (`stock_copy`) before changing it."""
    return make_bundle(teacher, STOCK_SPACE, texts, tmp_path_factory.mktemp("stock"), "stock")


@pytest.fixture(scope="session")
def free_superlm(
    teacher: Teacher, texts: Texts, tmp_path_factory: pytest.TempPathFactory
) -> SuperLM:
    """A bundle of students of free head width. Shared: do not change it."""
    return make_bundle(teacher, FREE_SPACE, texts, tmp_path_factory.mktemp("free"), "free")


@pytest.fixture
def embedder_copy(embedder_superlm: SuperLM, tmp_path: Path) -> SuperLM:
    """A copy of the bundle of an embedder's students that a test may change."""
    shutil.copytree(embedder_superlm.folder, tmp_path / "embedder-copy")
    return open_superlm(tmp_path / "embedder-copy")


@pytest.fixture
def stock_copy(stock_superlm: SuperLM, tmp_path: Path) -> SuperLM:
    """A copy of the stock bundle that a test may change."""
    shutil.copytree(stock_superlm.folder, tmp_path / "copy")
    return open_superlm(tmp_path / "copy")
