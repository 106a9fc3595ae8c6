"""The whole path for teachers of every common size, and what cannot be a teacher."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertLMHeadModel,
    GPT2Config,
    GPT2Model,
    PreTrainedModel,
    T5Config,
    T5EncoderModel,
)

from autodistil.errors import UnsupportedTeacher
from autodistil.extraction.handover import extract_student
from autodistil.families.architecture import Architecture
from autodistil.models.teacher import Teacher, load_teacher
from autodistil.spaces.partition import partition
from autodistil.spaces.sub_space import HeadPolicy, SubSpace
from autodistil.superlm.bundle import open_superlm
from autodistil.superlm.distillation import Distillation, distil
from autodistil.text.corpus import Corpus, tokenize_corpus
from tests.factories import SETTINGS, VOCABULARY, build_tokenizer, whole_texts, write_teacher

FAST = [(2, 128), (6, 128)]
SIZES = [
    pytest.param(*sizes, marks=[] if sizes in FAST else pytest.mark.slow)
    for sizes in product((2, 6, 12), (128, 384, 768))
]


def ends(space: SubSpace) -> SubSpace:
    """The smallest and the largest layers and widths of a space: four students at most."""
    changes = {axis: getattr(space, axis)[:1] for axis in ("ffn_percent", "heads")}
    for axis in ("layers", "hidden"):
        values = getattr(space, axis)
        changes[axis] = tuple(sorted({values[0], values[-1]}))
    return space.model_copy(update=changes)


@pytest.mark.parametrize("policy", HeadPolicy)
@pytest.mark.parametrize(("layers", "hidden"), SIZES)
def test_a_teacher_of_this_size_becomes_students_that_load(
    layers: int, hidden: int, policy: HeadPolicy, corpus_folder: Path, tmp_path: Path
) -> None:
    sizes = {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": hidden // 64,
        "intermediate_size": 4 * hidden,
        "max_position_embeddings": 32,  # shorter rows of held-out text
    }
    teacher = load_teacher(str(write_teacher(tmp_path / "teacher", **sizes)))
    assert teacher.architecture == Architecture(
        layers=layers,
        hidden=hidden,
        heads=hidden // 64,
        head_width=64,
        intermediate=4 * hidden,
    )
    corpus = tokenize_corpus(corpus_folder, teacher.tokenizer, tmp_path / "cache")
    spaces = partition(teacher.architecture, 3, policy)
    for space in spaces if layers == 2 else spaces[:1]:
        check_path(teacher, ends(space), corpus, tmp_path / space.name)


def check_path(teacher: Teacher, space: SubSpace, corpus: Corpus, folder: Path) -> None:
    """Cut, train a little, bundle, extract the smallest and the largest student, load them."""
    settings = SETTINGS.model_copy(update={"tokens": 500, "relation_heads": 1})
    bundle = distil(
        Distillation(
            teacher,
            space,
            whole_texts(corpus, teacher),
            "made-up words",
            settings,
            "sized",
        ),
        folder / "work",
        folder / "out",
    )
    superlm = open_superlm(folder / "out")
    assert superlm == bundle
    assert superlm.spec.teacher.architecture == teacher.architecture
    assert superlm.spec.provenance.steps > 1
    assert {candidate.architecture for candidate in superlm.candidates} == set(space.students())
    for architecture in {space.smallest, space.largest}:
        (candidate,) = (c for c in superlm.candidates if c.architecture == architecture)
        student = folder / architecture.name
        receipt = extract_student(superlm, candidate, student)
        assert receipt.parity.max_abs_difference <= 1e-5
        # A student with heads of its own width carries its model class, which is ours.
        model = AutoModel.from_pretrained(student, trust_remote_code=not candidate.stock)
        assert sum(p.numel() for p in model.parameters()) == candidate.params
        words = AutoTokenizer.from_pretrained(student)("Ba be bi.", return_tensors="pt")
        with torch.inference_mode():
            hidden_state = model(**words).last_hidden_state
        assert hidden_state.shape[-1] == architecture.hidden
        assert hidden_state.isfinite().all()


TINY_BERT = {
    "vocab_size": len(VOCABULARY),
    "num_hidden_layers": 1,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
OTHERS: dict[str, Callable[[], PreTrainedModel]] = {
    "a decoder of BERT layers": lambda: BertLMHeadModel(BertConfig(**TINY_BERT, is_decoder=True)),
    "GPT-2": lambda: GPT2Model(GPT2Config(vocab_size=300, n_embd=16, n_layer=1, n_head=2)),
    "an encoder with relative positions": lambda: T5EncoderModel(
        T5Config(vocab_size=300, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_real_model_of_another_kind_is_refused_with_what_is_supported(
    kind: str, tmp_path: Path
) -> None:
    OTHERS[kind]().save_pretrained(tmp_path)
    build_tokenizer(tmp_path)
    with pytest.raises(
        UnsupportedTeacher, match="supported are encoders of the types bert, roberta"
    ):
        load_teacher(str(tmp_path))


@pytest.mark.parametrize(
    "changes",
    [
        {"is_decoder": True},
        {"model_type": "gpt2"},
        {"position_embedding_type": "relative_key_query"},
        {"hidden_size": 100, "num_attention_heads": 12},
        {"hidden_act": "tanh"},
        {"num_hidden_layers": 1001},
    ],
    ids=str,
)
def test_a_config_that_is_refused_says_what_is_supported(
    changes: dict[str, Any], teacher_folder: Path, tmp_path: Path
) -> None:
    config = json.loads((teacher_folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(UnsupportedTeacher, match="hidden = heads x head width"):
        load_teacher(str(tmp_path))
