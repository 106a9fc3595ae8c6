"""Small random teachers, texts, and bundles, made on the spot and the same on every run."""

import gzip
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import BertConfig, BertModel, BertTokenizerFast

from autodistil.families.architecture import Architecture
from autodistil.families.encoder import EncoderConfig
from autodistil.models.teacher import Teacher
from autodistil.spaces.sub_space import HeadPolicy, SubSpace
from autodistil.superlm.bundle import SPEC, SuperLM
from autodistil.superlm.distillation import Distillation, distil
from autodistil.text.corpus import Batch, Corpus
from autodistil.text.vocabulary_texts import Texts
from autodistil.training.settings import EMBEDDER_DEFAULTS, StartSettings, TrainingSettings
from models_store import shipped_bundles


def shipped_narrow() -> Path:
    """The smallest SuperLM that ships."""
    return next(path for path in shipped_bundles() if path.name == "minilm-l6-narrow")


_ONSETS, _VOWELS, _CODAS = "bdfgklmnprstvz", "aeiou", ["", "n", "s"]
WORDS = [on + vowel + coda for on in _ONSETS for vowel in _VOWELS for coda in _CODAS]
VOCABULARY = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *".,!?'\"",
    *"abcdefghijklmnopqrstuvwxyz",
    *("##" + letter for letter in "abcdefghijklmnopqrstuvwxyz"),
    *WORDS,
]

STOCK_SPACE = SubSpace(
    name="tiny",
    head_policy=HeadPolicy.STOCK,
    head_width=8,
    layers=(2, 3),
    hidden=(16, 32),
    ffn_percent=(200, 400),
)
"""Eight plain BERTs below the teacher of `write_teacher`, with heads half as wide as its own."""

FREE_SPACE = SubSpace(
    name="tiny",
    head_policy=HeadPolicy.TEACHER,
    head_width=16,
    layers=(2, 3),
    hidden=(24, 40),
    ffn_percent=(200,),
    heads=(2, 3),
)
"""Eight students of free head width below the same teacher, none of them a plain BERT."""

EMBEDDER_SPACE = SubSpace(
    name="narrow",
    head_policy=HeadPolicy.STOCK,
    head_width=8,
    layers=(1, 2),
    hidden=(16, 32),
    ffn_percent=(100, 200),
    vocab=(80, 120),
)
"""Sixteen students of a sentence embedder, narrower than it and with less words."""

SETTINGS = TrainingSettings(
    tokens=2_000,
    batch_tokens=256,
    lengths=(16, 32),
    length_weights=(2.0, 1.0),
    random_students=1,
    relation_heads=2,
    neighbours=2,
    learning_rate=1e-3,
    start=StartSettings(calibration_batches=2),
    precision="fp32",
)


EMBEDDER_SETTINGS = TrainingSettings.model_validate(
    {**SETTINGS.model_dump(), **EMBEDDER_DEFAULTS, "cosine_weight": 0.5}
)


def build_tokenizer(folder: Path) -> BertTokenizerFast:
    """A WordPiece tokenizer over `VOCABULARY`, loaded back from `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {token: index for index, token in enumerate(VOCABULARY)}
    BertTokenizerFast(vocab=vocabulary, do_lower_case=True).save_pretrained(folder)
    return BertTokenizerFast.from_pretrained(folder)


def write_teacher(folder: Path, seed: int = 0, **sizes: Any) -> Path:
    """Save a random BERT, with its tokenizer, as `transformers` does.

    Weights, biases, and LayerNorms are all random: zeros and ones would hide what is left out.
    """
    config = BertConfig(
        **{
            "vocab_size": len(VOCABULARY),
            "hidden_size": 64,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "intermediate_size": 256,
            "max_position_embeddings": 128,
            **sizes,
        }
    )
    torch.manual_seed(seed)
    model = BertModel(config)
    randomize(model)
    model.save_pretrained(folder)
    build_tokenizer(folder)
    return folder


def write_embedder(
    folder: Path,
    seed: int = 0,
    pooling: str = "mean",
    dense: int | None = None,
    activation: str = "activation.Tanh",
    **sizes: Any,
) -> Path:
    """The same as a sentence embedder, with the files of sentence-transformers beside it.

    Args:
        folder: The folder.
        seed: Of the weights.
        pooling: By the names of sentence-transformers.
        dense: Width that a Dense module brings the vectors to; None: there is none.
        activation: Of the Dense module, inside `torch.nn.modules`.
        sizes: As of `write_teacher`.
    """
    write_teacher(folder, seed, **sizes)
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    if dense is not None:
        kinds.insert(2, ("2_Dense", "Dense"))
        _write_dense(folder / "2_Dense", dense, activation, seed)
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"embedding_dimension": 64, "pooling_mode": pooling})
    )
    (folder / "sentence_bert_config.json").write_text(
        json.dumps({"max_seq_length": 100, "do_lower_case": False})
    )
    return folder


def _write_dense(folder: Path, width: int, activation: str, seed: int) -> None:
    folder.mkdir()
    config = {
        "in_features": 64,
        "out_features": width,
        "bias": True,
        "activation_function": f"torch.nn.modules.{activation}",
    }
    (folder / "config.json").write_text(json.dumps(config))
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        "linear.weight": torch.randn(width, 64, generator=generator) * 0.2,
        "linear.bias": torch.randn(width, generator=generator) * 0.2,
    }
    save_file(tensors, folder / "model.safetensors")


@torch.no_grad()
def randomize(module: nn.Module) -> None:
    """Give every parameter, biases and LayerNorms too, random values of a useful scale."""
    for name, parameter in module.named_parameters():
        if "LayerNorm.weight" in name:
            parameter.normal_(1.0, 0.3)
        else:
            parameter.normal_(0.0, 0.12 if parameter.ndim > 1 else 0.2)


def random_tensors(
    architecture: Architecture, encoder: EncoderConfig, seed: int = 0
) -> dict[str, Tensor]:
    """Random tensors of an encoder, none of them zeros or ones."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=generator) * (0.3 if len(shape) == 1 else 0.12)
        + float("LayerNorm.weight" in name)
        for name, shape in encoder.shapes(architecture).items()
    }


def random_batch(vocab_size: int, rows: int = 4, tokens: int = 12, seed: int = 0) -> Batch:
    """Random ids with padding of a different length in every row but the first."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(vocab_size, (rows, tokens), generator=generator)
    mask = torch.ones_like(ids)
    for row in range(1, rows):
        mask[row, tokens - row * (tokens // (rows + 1)) :] = 0
    return Batch(ids, mask)


def sentence(rng: random.Random) -> str:
    """A sentence of words of the vocabulary."""
    words = rng.choices(WORDS, k=rng.randint(3, 12))
    return " ".join([words[0].capitalize(), *words[1:]]) + rng.choice(".!?")


def document(rng: random.Random) -> str:
    """A document of a few sentences."""
    return " ".join(sentence(rng) for _ in range(rng.randint(2, 8)))


def write_corpus(folder: Path, documents: int = 60, seed: int = 0) -> Path:
    """A corpus of every kind of file that is read: .jsonl, .jsonl.gz, .txt, and .txt.gz."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    rows = [json.dumps({"text": document(rng)}) + "\n" for _ in range(documents)]
    half = documents // 2
    (folder / "a.jsonl").write_text("".join(rows[:half]))
    (folder / "b.jsonl.gz").write_bytes(gzip.compress("".join(rows[half:]).encode()))
    (folder / "c.txt").write_text(document(rng))
    (folder / "d.txt.gz").write_bytes(gzip.compress(document(rng).encode()))
    return folder


def make_bundle(
    teacher: Teacher,
    space: SubSpace,
    texts: Texts,
    folder: Path,
    name: str,
    settings: TrainingSettings = SETTINGS,
) -> SuperLM:
    """A SuperLM through the real path: cut, a few training steps, scored, written."""
    wanted = Distillation(teacher, space, texts, "made-up words", settings, name)
    return distil(wanted, folder / "run", folder / name)


def whole_texts(corpus: Corpus, teacher: Teacher) -> Texts:
    """A corpus for a sub-space whose students have all of the teacher's tokens."""
    return Texts(corpus, {None: corpus}, None, teacher.tokenizer)


def rehash(folder: Path) -> None:
    """Make the spec vouch for the files as they are, as a hostile author would."""
    spec = json.loads((folder / SPEC).read_text())
    for name in spec["files"]:
        content = (folder / name).read_bytes()
        spec["files"][name] = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "size_bytes": len(content),
        }
    (folder / SPEC).write_text(json.dumps(spec))


def edit_json(path: Path, change: Any) -> None:
    """Apply `change` to the parsed content of a JSON file."""
    content = json.loads(path.read_text())
    path.write_text(json.dumps(change(content)))
