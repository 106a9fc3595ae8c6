"""Reading a teacher: its sizes from its config, its weights by `transformers`, its tokenizer."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from autodistil.errors import InvalidInput, UnsupportedTeacher
from autodistil.families.architecture import Architecture
from autodistil.families.encoder import EncoderConfig
from autodistil.families.registry import read_encoder
from autodistil.models.model_files import ModelFiles
from autodistil.models.sentence_folder import read_sentence_folder
from autodistil.models.teacher_name import find_name
from autodistil.spaces.embedding import Pooling, SentenceEmbedding
from autodistil.text.lower_case import lower_first

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase

_HUB_ID = re.compile(r"(?!\.)[\w.-]+(/[\w.-]+)?", re.ASCII)


@dataclass(frozen=True)
class Teacher:
    """A loaded teacher.

    Attributes:
        name: What it is called.
        named_by: Where that name was found, in words.
        sha256: Hash over its tensors' names, shapes, and values, those of its Dense modules too.
        architecture: Its sizes.
        encoder: What students share with it.
        tensors: Its tensors in fp32, by the names of `EncoderConfig.shapes`.
        tokenizer: Its tokenizer.
        embedding: How it embeds sentences; None if it is no sentence embedder.
        steps: From its pooled to its final vectors, but for the normalisation at the end, [batch,
            hidden] to [batch, width].
    """

    name: str
    named_by: str
    sha256: str
    architecture: Architecture
    encoder: EncoderConfig
    tensors: dict[str, "Tensor"]
    tokenizer: "PreTrainedTokenizerBase"
    embedding: SentenceEmbedding | None
    steps: "nn.Sequential"

    @property
    def identity(self) -> str:
        """Hash over all that its sentence vectors depend on: its tensors, and how it embeds."""
        return hashlib.sha256(f"{self.sha256} {self.embedding} {self.steps}".encode()).hexdigest()

    @property
    def pooling(self) -> Pooling:
        """How sentence vectors are made of its token vectors; if it makes none, their mean."""
        return self.embedding.pooling if self.embedding else Pooling.MEAN

    def sentence_vectors(self, hidden: "Tensor", attention_mask: "Tensor") -> "Tensor":
        """Its sentence vectors, before they are normalised, in fp32.

        Args:
            hidden: Its last hidden states, [batch, tokens, hidden].
            attention_mask: 1 for tokens, 0 for padding, [batch, tokens].

        Returns:
            [batch, width].
        """
        from autodistil.models.sentence_steps import apply_steps
        from autodistil.models.sentence_vectors import pool

        return apply_steps(self.steps, pool(hidden, attention_mask, self.pooling))

    @property
    def longest(self) -> int:
        """Tokens of a text that it reads at most."""
        positions = self.encoder.positions
        return self.embedding.max_seq_length if self.embedding else positions


def load_teacher(name: str) -> Teacher:
    """Load a teacher from a local folder or, by its id, from the Hugging Face hub.

    No code of its folder is run, and nothing is asked.

    Raises:
        UnsupportedTeacher: It cannot be read, or is no encoder a SuperLM can be cut from.
    """
    from autodistil.models.sentence_steps import load_steps, own_steps

    files = ModelFiles(name)
    try:
        _check_place(files)
        folder = read_sentence_folder(name)
        folder.check_transformer()
        files.refuse_own_code(folder.encoder)
        _check_config(files, folder.encoder)
        architecture, encoder, tensors, tokenizer = _load(files, folder.encoder)
        longest = int(tokenizer.model_max_length)
        positions = encoder.positions
        embedding = folder.embedding(architecture.hidden, positions, longest)
        steps = own_steps(load_steps(folder))
    except UnsupportedTeacher:
        raise
    except InvalidInput as error:
        raise UnsupportedTeacher(error.detail) from error
    except Exception as error:  # transformers meets a bad file with errors of a dozen kinds
        raise UnsupportedTeacher(f"{name!r} cannot be loaded as a teacher: {error}") from error
    if embedding is not None and embedding.do_lower_case:
        lower_first(tokenizer)
    found = find_name(name)
    return Teacher(
        name=found.name,
        named_by=found.source,
        sha256=_hash({**tensors, **steps.state_dict()}),
        architecture=architecture,
        encoder=encoder,
        tensors=tensors,
        tokenizer=tokenizer,
        embedding=embedding,
        steps=steps,
    )


def _check_place(files: ModelFiles) -> None:
    if files.folder is None and not _HUB_ID.fullmatch(files.name):
        raise UnsupportedTeacher(
            f"There is no folder {files.name!r}, and it is no id of a model on the hub such as "
            "owner/name."
        )


def _check_config(files: ModelFiles, encoder: str) -> None:
    """Refuse a folder without a model; `transformers` does so, but does not say what to do."""
    if files.folder is not None and not (files.folder / encoder / "config.json").is_file():
        raise UnsupportedTeacher(
            f"{files.folder / encoder} has no config.json; name the folder that holds the model's. "
            "Of a sentence embedder whose encoder lies in 0_Transformer, that is the folder with "
            "modules.json."
        )


def _check_weights(files: ModelFiles, encoder: str) -> None:
    """Refuse a folder without weights that are read."""
    if files.folder is not None and not any((files.folder / encoder).glob("*.safetensors")):
        raise UnsupportedTeacher(
            f"{files.folder / encoder} has no model.safetensors. Files of pickled weights such as "
            "pytorch_model.bin are never read, since they may hold code; load the model with "
            "transformers and save it anew, which writes safetensors."
        )


class _Encoder(NamedTuple):
    """What is loaded of a teacher's encoder; see `Teacher`."""

    architecture: Architecture
    encoder: EncoderConfig
    tensors: "dict[str, Tensor]"
    tokenizer: "PreTrainedTokenizerBase"


def _load(files: ModelFiles, subfolder: str) -> _Encoder:
    """Load the encoder in a folder inside a model's."""
    import torch
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    name = files.name
    # False, not left out: left out, transformers stops to ask whether code may run.
    config = AutoConfig.from_pretrained(name, subfolder=subfolder, trust_remote_code=False)
    architecture, encoder = read_encoder(config.to_dict())
    _check_weights(files, subfolder)
    model, info = AutoModel.from_pretrained(
        name,
        subfolder=subfolder,
        dtype=torch.float32,
        output_loading_info=True,
        use_safetensors=True,
        trust_remote_code=False,
    )
    tokenizer = AutoTokenizer.from_pretrained(name, subfolder=subfolder, trust_remote_code=False)
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
    return _Encoder(architecture, encoder, tensors, tokenizer)


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

    Raises:
        InvalidInput: Its positions depend on the number of a token that would have another.
    """
    import torch

    (name,) = teacher.encoder.embeddings.words.stored
    words = teacher.tensors[name][torch.tensor(kept)]
    pad = int(tokenizer.pad_token_id)  # a config may name another one, which may be gone
    if teacher.encoder.embeddings.first_position and pad != teacher.encoder.pad_token_id:
        raise InvalidInput(
            f"The vocabulary of {teacher.name} cannot be trimmed: its positions begin behind the "
            f"padding token {teacher.encoder.pad_token_id}, which would become {pad}. Leave vocab "
            "out of the sub-space."
        )
    return replace(
        teacher,
        encoder=teacher.encoder.model_copy(update={"vocab_size": len(kept), "pad_token_id": pad}),
        tensors={**teacher.tensors, name: words},
        tokenizer=tokenizer,
    )
