"""Teachers that make sentence vectors in every way, from their folder to their students'."""

import json
import random
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertModel

from autodistil.downstream.embedder import open_embedder
from autodistil.errors import TeacherMismatch
from autodistil.evaluation.candidate_table import measured_teacher
from autodistil.evaluation.held_out_text import HeldOutText
from autodistil.evaluation.students import evaluate_students
from autodistil.extraction.handover import extract_student
from autodistil.models.model_folder import read_facts
from autodistil.models.teacher import Teacher, load_teacher
from autodistil.selection.on_text import text_batches
from autodistil.spaces.embedding import Pooling, Vectors
from autodistil.spaces.sub_space import HeadPolicy, SubSpace
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.slicing import load_elastic
from autodistil.superlm.teacher_check import check_teacher
from autodistil.superlm.tokenizers import load_tokenizer
from autodistil.text.corpus import Corpus
from autodistil.text.vocabulary_texts import read_texts
from autodistil.training.settings import ObjectiveSettings
from tests.factories import (
    EMBEDDER_SETTINGS,
    edit_json,
    make_bundle,
    sentence,
    whole_texts,
    write_corpus,
    write_embedder,
)

AS_WIDE = SubSpace(
    name="wide",
    head_policy=HeadPolicy.STOCK,
    head_width=16,
    layers=(4,),
    hidden=(64,),
    ffn_percent=(200, 400),
)
"""Students as wide as the teacher; the largest is the teacher itself."""

NARROWER = AS_WIDE.model_copy(
    update={"name": "narrow", "layers": (2,), "hidden": (32, 64), "ffn_percent": (200,)}
)


class Kind(NamedTuple):
    """A kind of teacher, and a sub-space for its students."""

    pooling: Pooling
    dense: int | None
    activation: str
    space: SubSpace


KINDS = {
    "cls": Kind(Pooling.CLS, None, "", AS_WIDE),
    "max": Kind(Pooling.MAX, None, "", NARROWER),
    "mean-sqrt": Kind(Pooling.MEAN_SQRT_LEN, None, "", NARROWER),
    "last": Kind(Pooling.LAST, None, "", AS_WIDE),
    "dense": Kind(Pooling.MEAN, 24, "activation.Tanh", NARROWER),
    "dense-as-wide": Kind(Pooling.CLS, 64, "linear.Identity", AS_WIDE),
    "dense-wider": Kind(Pooling.MAX, 96, "activation.GELU", AS_WIDE),
}
ACTIVATIONS = {
    "activation.Tanh": torch.tanh,
    "activation.GELU": F.gelu,
    "linear.Identity": nn.Identity(),
}


class Made(NamedTuple):
    """A teacher with its folder, and students of it."""

    kind: Kind
    folder: Path
    teacher: Teacher
    superlm: SuperLM


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS.keys())
def made(
    request: pytest.FixtureRequest, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory
) -> Made:
    kind: Kind = request.param
    folder = tmp_path_factory.mktemp("embedder")
    path = write_embedder(
        folder / "teacher", pooling=kind.pooling, dense=kind.dense, activation=kind.activation
    )
    teacher = load_teacher(str(path))
    settings = EMBEDDER_SETTINGS.model_copy(update={"tokens": 300})
    texts = whole_texts(corpus, teacher)
    superlm = make_bundle(teacher, kind.space, texts, folder, "students", settings)
    return Made(kind, path, teacher, superlm)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    rng = random.Random(11)
    return [sentence(rng) for _ in range(32)]


def pool_one(hidden: Tensor, pooling: Pooling) -> Tensor:
    """Vectors of the tokens of one text, [tokens, hidden], to one of them, token by token."""
    rows = list(hidden)
    return {
        Pooling.CLS: lambda: rows[0],
        Pooling.LAST: lambda: rows[-1],
        Pooling.MAX: lambda: torch.stack([max(column) for column in hidden.T]),  # type: ignore[type-var]
        Pooling.MEAN: lambda: sum(rows) / len(rows),
        Pooling.MEAN_SQRT_LEN: lambda: sum(rows) / len(rows) ** 0.5,
    }[pooling]()  # type: ignore[return-value]


@torch.no_grad()
def wanted_vectors(made: Made, texts: list[str]) -> Tensor:
    """The teacher's, by its files alone, of length 1."""
    model = BertModel.from_pretrained(made.folder).eval()
    found = []
    for text in texts:
        tokens = made.teacher.tokenizer(text, return_tensors="pt")
        vector = pool_one(model(**tokens).last_hidden_state[0], made.kind.pooling)
        if made.kind.dense is not None:
            weights = load_file(made.folder / "2_Dense" / "model.safetensors")
            mapped = weights["linear.weight"] @ vector + weights["linear.bias"]
            vector = ACTIVATIONS[made.kind.activation](mapped)
        found.append(vector / vector.norm())
    return torch.stack(found)


def test_the_teacher_and_its_folder_make_the_same_vectors(made: Made, texts: list[str]) -> None:
    wanted = wanted_vectors(made, texts)
    assert wanted.shape[1] == (made.kind.dense or 64)
    found = torch.from_numpy(open_embedder(made.folder).encode(texts))
    assert (found - wanted).abs().max() < 1e-5
    encoder = measured_teacher(made.teacher).encoder
    (batch,) = text_batches(texts, made.teacher.tokenizer)
    hidden = encoder(batch.input_ids, batch.attention_mask, made.teacher.architecture).hidden
    own = F.normalize(made.teacher.sentence_vectors(hidden, batch.attention_mask), dim=1)
    assert (own - wanted).abs().max() < 1e-5


def test_students_are_measured_by_the_vectors_that_their_folders_make(
    made: Made, texts: list[str], tmp_path: Path
) -> None:
    batches = text_batches(texts, made.teacher.tokenizer)
    found = evaluate_students(
        load_elastic(made.superlm),
        made.kind.space.students(),
        measured_teacher(made.teacher),
        HeldOutText(batches, {None: batches}),
        ObjectiveSettings(),
    )
    wanted = wanted_vectors(made, texts)
    for index, candidate in enumerate(made.superlm.candidates):
        receipt = extract_student(made.superlm, candidate, tmp_path / str(index))
        vectors = torch.from_numpy(open_embedder(tmp_path / str(index)).encode(texts))
        assert vectors.shape == wanted.shape
        distance = 1 - float((vectors * wanted).sum(1).mean())
        assert found[candidate.architecture].vector_distance == pytest.approx(distance, abs=1e-5)
        assert receipt.sentence_vectors is not None
        assert receipt.sentence_vectors.pooling is made.kind.pooling
        assert receipt.sentence_vectors.width == wanted.shape[1]
        assert receipt.parity.vectors_max_abs_difference is not None
        assert read_facts(tmp_path / str(index)).params == candidate.params


def test_the_largest_student_begins_with_its_teachers_vectors(made: Made) -> None:
    largest = max(made.superlm.candidates, key=lambda c: c.params)
    if made.kind.space is AS_WIDE:  # the teacher's own layers, at most a map in the way
        assert largest.vector_distance is not None
        assert largest.vector_distance < 0.02
    distances = [c.vector_distance for c in made.superlm.candidates if c.vector_distance]
    assert max(distances) < 0.75  # of vectors that have nothing in common it is about 1


def test_a_map_leads_to_the_teachers_vectors_where_it_has_a_dense_module(
    made: Made, tmp_path: Path
) -> None:
    as_wide = made.kind.space is AS_WIDE
    mapped = made.kind.dense is not None or not as_wide
    width = made.kind.dense or 64
    assert made.superlm.spec.map_width == (width if mapped else None)
    receipt = extract_student(made.superlm, made.superlm.candidates[0], tmp_path / "student")
    kinds = [m["type"].rpartition(".")[2] for m in read(tmp_path / "student" / "modules.json")]
    dense = ["Dense"] if mapped else []
    assert kinds == ["Transformer", "Pooling", *dense, "Normalize"]
    assert (tmp_path / "student" / "2_Dense").is_dir() is mapped
    if mapped:
        config = read(tmp_path / "student" / "2_Dense" / "config.json")
        hidden = made.superlm.candidates[0].hidden
        assert config == {
            "in_features": hidden,
            "out_features": width,
            "bias": True,
            "activation_function": "torch.nn.modules.linear.Identity",
        }
    assert receipt.sentence_vectors is not None
    assert receipt.sentence_vectors.in_teacher_space
    own = extract_student(
        made.superlm, made.superlm.candidates[0], tmp_path / "own", vectors=Vectors.OWN
    )
    assert own.sentence_vectors is not None
    assert own.sentence_vectors.in_teacher_space is not mapped
    flags = read(tmp_path / "student" / "1_Pooling" / "config.json")
    old = {Pooling.LAST: "lasttoken", Pooling.CLS: "cls_token"}
    name = old.get(made.kind.pooling, made.kind.pooling.removesuffix("_tokens") + "_tokens")
    assert [key for key, value in flags.items() if value is True] == [
        f"pooling_mode_{name}",
        "include_prompt",
    ]


def read(path: Path) -> object:
    return json.loads(path.read_text())  # type: ignore[no-any-return]


def test_the_same_weights_with_other_vectors_are_another_teacher(
    made: Made, tmp_path: Path
) -> None:
    check_teacher(made.superlm, made.teacher)
    other = "mean" if made.kind.pooling is not Pooling.MEAN else "max"
    path = write_embedder(tmp_path / "teacher", pooling=other)
    changed = load_teacher(str(path))
    assert changed.identity != made.teacher.identity
    with pytest.raises(TeacherMismatch):
        check_teacher(made.superlm, changed)
    if made.kind.dense is None:
        assert changed.sha256 == made.teacher.sha256
        with pytest.raises(TeacherMismatch, match=f"pooling is {other}, not {made.kind.pooling}"):
            check_teacher(made.superlm, changed)


def test_texts_are_lowered_in_training_and_by_students_where_the_folder_says_so(
    tmp_path: Path,
) -> None:
    folder = write_embedder(tmp_path / "teacher")
    for name, change in (
        ("sentence_bert_config.json", {"do_lower_case": True}),
        ("tokenizer_config.json", {"do_lower_case": False}),
    ):
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**content, **change}))
    teacher = load_teacher(str(folder))
    assert teacher.tokenizer("BA Be")["input_ids"] == teacher.tokenizer("ba be")["input_ids"]
    settings = EMBEDDER_SETTINGS.model_copy(update={"tokens": 300})
    space = NARROWER.model_copy(update={"hidden": (32,), "vocab": (110,)})
    own = read_texts(
        write_corpus(tmp_path / "corpus"), teacher.tokenizer, space.vocab, tmp_path / "cache"
    )
    assert own.tokenizer("BA Be")["input_ids"] == own.tokenizer("ba be")["input_ids"]
    superlm = make_bundle(teacher, space, own, tmp_path, "students", settings)
    tokenizer = load_tokenizer(superlm, 110)
    assert tokenizer("BA Be")["input_ids"] == tokenizer("ba be")["input_ids"]
    extract_student(superlm, superlm.candidates[0], tmp_path / "student")
    lower, upper = open_embedder(tmp_path / "student").encode(["ba be.", "BA Be."])
    assert np.abs(lower - upper).max() < 1e-6


def test_vectors_that_a_teacher_does_not_normalise_keep_their_length(
    corpus: Corpus, texts: list[str], tmp_path: Path
) -> None:
    folder = write_embedder(tmp_path / "teacher", dense=24, activation="linear.Identity")
    edit_json(folder / "modules.json", lambda modules: modules[:-1])
    dense = folder / "2_Dense" / "model.safetensors"
    save_file({name: 20 * tensor for name, tensor in load_file(dense).items()}, dense)
    teacher = load_teacher(str(folder))
    settings = EMBEDDER_SETTINGS.model_copy(update={"tokens": 300})
    superlm = make_bundle(
        teacher, NARROWER, whole_texts(corpus, teacher), tmp_path, "students", settings
    )
    extract_student(superlm, superlm.candidates[-1], tmp_path / "student")
    wanted, found = (
        float(np.linalg.norm(open_embedder(place).encode(texts), axis=1).mean())
        for place in (folder, tmp_path / "student")
    )
    assert wanted > 20
    assert found == pytest.approx(wanted, rel=0.3)
