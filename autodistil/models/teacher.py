"""Reading a teacher: its sizes from its config, its weights by `transformers`, its tokenizer."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodistil.errors import UnsupportedTeacher
from autodistil.families.architecture import Architecture
from autodistil.families.encoder import EncoderConfig
from autodistil.families.registry import read_encoder
from autodistil.models.sentence_folder import read_embedding
from autodistil.spaces.embedding import SentenceEmbedding

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Teacher:
    """A loaded teacher.

    Attributes:
        name: Folder name or hub id.
        sha256: Hash over its tensors' names, shapes, and values.
        architecture: Its sizes.
        encoder: What students share with it.
        tensors: Its tensors in fp32, by the names of `EncoderConfig.shapes`.
        tokenizer: Its tokenizer.
        embedding: How it embeds sentences; None if it is no sentence embedder.
    """

    name: str
    sha256: str
    architecture: Architecture
    encoder: EncoderConfig
    tensors: dict[str, "Tensor"]
    tokenizer: "PreTrainedTokenizerBase"
    embedding: SentenceEmbedding | None

    @property
    def longest(self) -> int:
        """Tokens of a text that it reads at most."""
        positions = self.encoder.positions
        return self.embedding.max_seq_length if self.embedding else positions


def load_teacher(name: str) -> Teacher:
    """Load a teacher from a local folder or, by its id, from the Hugging Face hub.

    Raises:
        UnsupportedTeacher: It cannot be read, or is no encoder a SuperLM can be cut from.
    """
    import torch
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    try:
        # False, not left out: left out, transformers stops to ask whether code may run.
        own: dict[str, Any] = {"trust_remote_code": False}
        config = AutoConfig.from_pretrained(name, **own)
        architecture, encoder = read_encoder(config.to_dict())
        embedding = read_embedding(name, architecture.hidden, encoder.positions)
        model, info = AutoModel.from_pretrained(
            name, dtype=torch.float32, output_loading_info=True, use_safetensors=True, **own
        )
        tokenizer = AutoTokenizer.from_pretrained(name, **own)
    except UnsupportedTeacher:
        raise
    except Exception as error:  # transformers meets a bad file with errors of a dozen kinds
        raise UnsupportedTeacher(f"{name!r} cannot be loaded as a teacher: {error}") from error
    pooler = encoder.pooler.stored if encoder.pooler else {}
    missing = {key for key in info["missing_keys"] if key not in pooler}
    if missing:
        raise UnsupportedTeacher(
            f"{name!r} lacks weights: {', '.join(sorted(missing)[:3])} ({len(missing)} in all)."
        )
    _check_tokenizer(name, tokenizer, encoder)
    tensors = {key: value.detach() for key, value in model.state_dict().items()}
    if wrong := [key for key, value in tensors.items() if not value.isfinite().all()]:
        raise UnsupportedTeacher(f"{name!r} holds values that are not finite, in {wrong[0]}.")
    if info["missing_keys"]:  # a teacher without pooler: start from the identity, not from noise
        for key in pooler:
            width = architecture.hidden
            tensors[key] = torch.eye(width) if key.endswith(".weight") else torch.zeros(width)
    tensors = {key: tensors[key].contiguous() for key in encoder.shapes(architecture)}
    return Teacher(
        name=_display_name(name),
        sha256=_hash(tensors),
        architecture=architecture,
        encoder=encoder,
        tensors=tensors,
        tokenizer=tokenizer,
        embedding=embedding,
    )


def _check_tokenizer(
    name: str, tokenizer: "PreTrainedTokenizerBase", encoder: EncoderConfig
) -> None:
    # Without tokenizer files, transformers makes a tokenizer that knows the special tokens alone.
    if not tokenizer.is_fast or len(tokenizer) <= len(tokenizer.all_special_ids):
        raise UnsupportedTeacher(f"{name!r} has no fast tokenizer: tokenizer.json is missing.")
    if len(tokenizer) > encoder.vocab_size:
        raise UnsupportedTeacher(
            f"{name!r} has a tokenizer of {len(tokenizer)} tokens "
            f"for {encoder.vocab_size} embeddings."
        )


def _display_name(name: str) -> str:
    return Path(name).resolve().name if Path(name).is_dir() else name


def _hash(tensors: "dict[str, Tensor]") -> str:
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(f"{key}{tuple(tensors[key].shape)}".encode())
        digest.update(tensors[key].numpy().tobytes())
    return digest.hexdigest()


def trim_teacher(
    teacher: Teacher, kept: Sequence[int], tokenizer: "PreTrainedTokenizerBase"
) -> Teacher:
    """The teacher with some of its tokens: the same function of any text written in them.

    Args:
        teacher: The teacher.
        kept: The ids of the tokens; the new id of a token is its place among them.
        tokenizer: The teacher's, trimmed to them.
    """
    import torch

    (name,) = teacher.encoder.embeddings.words.stored
    words = teacher.tensors[name][torch.tensor(kept)]
    pad = kept.index(teacher.encoder.pad_token_id)
    return replace(
        teacher,
        encoder=teacher.encoder.model_copy(update={"vocab_size": len(kept), "pad_token_id": pad}),
        tensors={**teacher.tensors, name: words},
        tokenizer=tokenizer,
    )
