"""One tiny teacher, corpus, and pair of bundles for all tests of the method."""

import shutil
from pathlib import Path

import pytest
import torch

from autodistil.models.teacher import Teacher, load_teacher
from autodistil.superlm.bundle import SuperLM, open_superlm
from autodistil.text.corpus import Corpus, tokenize_corpus
from tests.factories import FREE_SPACE, STOCK_SPACE, make_bundle, write_corpus, write_teacher

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
def stock_superlm(
    teacher: Teacher, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory
) -> SuperLM:
    """A bundle of plain BERTs. Shared: copy it (`stock_copy`) before changing it."""
    return make_bundle(teacher, STOCK_SPACE, corpus, tmp_path_factory.mktemp("stock"), "stock")


@pytest.fixture(scope="session")
def free_superlm(
    teacher: Teacher, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory
) -> SuperLM:
    """A bundle of students of free head width. Shared: do not change it."""
    return make_bundle(teacher, FREE_SPACE, corpus, tmp_path_factory.mktemp("free"), "free")


@pytest.fixture
def stock_copy(stock_superlm: SuperLM, tmp_path: Path) -> SuperLM:
    """A copy of the stock bundle that a test may change."""
    shutil.copytree(stock_superlm.folder, tmp_path / "copy")
    return open_superlm(tmp_path / "copy")
