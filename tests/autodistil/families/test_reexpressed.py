"""A BERT re-expressed exactly as other families: the whole way gives what the BERT gives."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from autodistil.extraction.handover import extract_student
from autodistil.families.encoder import EncoderConfig
from autodistil.families.parts import Block, Linear, Norm
from autodistil.families.registry import read_encoder
from autodistil.models.teacher import Teacher, load_teacher
from autodistil.superlm.bundle import SuperLM
from autodistil.text.corpus import tokenize_corpus
from autodistil.text.text_files import TextFiles
from autodistil.training.settings import EMBEDDER_DEFAULTS, TrainingSettings
from tests.factories import STOCK_SPACE, make_bundle, whole_texts, write_corpus, write_embedder
from tests.family_teachers import TEACHERS

FAMILIES = ("roberta", "xlm-roberta", "distilbert", "electra", "mpnet")


def settings_of(kind: str) -> TrainingSettings:
    """At zero tokens. The layers of an MPNet share a bias, so its heads are ranked together and a
    cut keeps others than a BERT's: heads and neurons stay in their order where it is compared.
    """
    start = {"calibration_batches": 2, "least_squares": False, "permute_parts": kind != "mpnet"}
    return TrainingSettings.model_validate(
        {
            **EMBEDDER_DEFAULTS,
            **{"tokens": 0, "lengths": (16,), "length_weights": (1.0,), "start": start},
        }
    )


def reexpress(bert: Teacher, kind: str, source: Path, folder: Path) -> Path:
    """Write a teacher of another family that computes what a BERT with one kind of token does."""
    config_class, model_class, own = TEACHERS[kind]
    sizes, positions = bert.architecture, bert.encoder.positions
    names = (
        {"dim": sizes.hidden, "n_layers": sizes.layers, "n_heads": sizes.heads}
        | {"hidden_dim": sizes.intermediate, "activation": bert.encoder.hidden_act}
        if kind == "distilbert"
        else {"hidden_size": sizes.hidden, "num_hidden_layers": sizes.layers}
        | {"num_attention_heads": sizes.heads, "intermediate_size": sizes.intermediate}
        | {"layer_norm_eps": bert.encoder.layer_norm_eps}
    )
    first = {"roberta": 1, "xlm-roberta": 1, "mpnet": 2}.get(kind, 0)
    pad = {"mpnet": 1}.get(kind, 0)
    own = {key: value for key, value in own.items() if key in ("type_vocab_size", "embedding_size")}
    model: Any = model_class(
        config_class(
            vocab_size=bert.encoder.vocab_size,
            max_position_embeddings=positions + first,
            pad_token_id=pad,
            **names,
            **own,
        )
    )
    encoder = read_encoder(model.config.to_dict())[1]
    assert encoder.embeddings.first_position == first
    model.load_state_dict(_tensors(bert, encoder))
    for path in source.iterdir():
        target = folder / path.name
        if path.is_dir():
            target.mkdir(parents=True)
            for file in path.iterdir():
                (target / file.name).write_bytes(file.read_bytes())
        elif path.name not in ("config.json", "model.safetensors"):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    model.save_pretrained(folder)
    return folder


def _tensors(bert: Teacher, encoder: EncoderConfig) -> dict[str, Tensor]:
    """A BERT's tensors by another family's names, part by part; what it lacks is folded or zero."""
    old, new = bert.encoder.embeddings, encoder.embeddings
    found: dict[str, Tensor] = {}
    for theirs, ours in ((old.words, new.words), (old.norm, new.norm)):
        _copy(bert, theirs, ours, found)
    assert old.positions is not None
    assert old.types is not None
    assert new.positions is not None
    table = bert.tensors[f"{old.positions.name}.weight"]
    types = bert.tensors[f"{old.types.name}.weight"]
    shifted = torch.zeros(len(table) + new.first_position, table.shape[1])
    shifted[new.first_position :] = table
    if new.types is None:
        shifted[new.first_position :] += types[0]
    else:
        assert isinstance(new.types.rows, int)
        found[f"{new.types.name}.weight"] = types[: new.types.rows]
    found[f"{new.positions.name}.weight"] = shifted
    for layer in range(bert.architecture.layers):
        theirs, ours = bert.encoder.block(layer), encoder.block(layer)
        for field in fields(Block):
            if isinstance(getattr(theirs, field.name), Linear | Norm):
                _copy(bert, getattr(theirs, field.name), getattr(ours, field.name), found)
    if encoder.pooler is not None:
        _copy(bert, bert.encoder.pooler, encoder.pooler, found)
    if (relative := encoder.relative_positions) is not None:
        rows = encoder.tensors(1)[f"{relative.table.name}.weight"].axes[0]
        assert isinstance(rows, int)
        found[f"{relative.table.name}.weight"] = torch.zeros(rows, bert.architecture.heads)
    return found


def _copy(bert: Teacher, theirs: Any, ours: Any, found: dict[str, Tensor]) -> None:
    for their_name, our_name in zip(theirs.stored, ours.stored, strict=True):
        found[our_name] = bert.tensors[their_name]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_embedder(tmp_path_factory.mktemp("bert"), max_position_embeddings=64)


def superlm_of(teacher: Teacher, text: Path, kind: str, folder: Path) -> SuperLM:
    corpus = tokenize_corpus(TextFiles(text), teacher.tokenizer, folder / "cache")
    texts = whole_texts(corpus, teacher)
    return make_bundle(teacher, STOCK_SPACE, texts, folder, "reexpressed", settings_of(kind))


@pytest.mark.parametrize("kind", FAMILIES)
def test_students_at_zero_tokens_score_what_berts_do(
    kind: str, bert_folder: Path, text: Path, tmp_path: Path
) -> None:
    bert = load_teacher(str(bert_folder))
    of_bert = {
        candidate.architecture: candidate.signals
        for candidate in superlm_of(bert, text, kind, tmp_path / "bert").candidates
    }
    folder = reexpress(bert, kind, bert_folder, tmp_path / "teacher")
    teacher = load_teacher(str(folder))
    assert teacher.encoder.family == kind
    assert teacher.embedding == bert.embedding
    superlm = superlm_of(teacher, text, kind, tmp_path)
    assert len(superlm.candidates) == len(of_bert) == STOCK_SPACE.size
    for candidate in superlm.candidates:
        wanted, found = of_bert[candidate.architecture], candidate.signals
        assert wanted is not None
        assert found is not None
        for name, value in wanted.model_dump().items():
            # Ranks move by whole pairs where cosines are equal to 1e-6.
            assert getattr(found, name) == pytest.approx(value, abs=1e-2), (candidate, name)
    receipt = extract_student(superlm, superlm.candidates[0], tmp_path / "student")
    assert receipt.parity.max_abs_difference <= 1e-5
