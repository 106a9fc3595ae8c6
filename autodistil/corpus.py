"""Text to token batches.

A corpus is tokenised once, sentence by sentence, into two memory-mapped arrays; a batch is then a
function of (seed, step) alone, so that a resumed run sees exactly the batches of an unbroken one.
"""

import gzip
import hashlib
import json
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

import numpy as np
import numpy.typing as npt

from autodistil.errors import InvalidInput

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]*[A-Z0-9])|\n+")
_SUFFIXES = (".jsonl", ".jsonl.gz", ".txt", ".txt.gz")
_HELD_OUT_SHARE = 100  # one document in a hundred
_DOCUMENT_CHARS = 200_000
"""Longer texts (books) are cut, so that the held-out share is one of text and memory is bounded."""


@dataclass(frozen=True)
class Batch:
    """Token rows of one length.

    Attributes:
        input_ids: [rows, tokens], int64.
        attention_mask: 1 for tokens, 0 for padding, [rows, tokens], int64.
    """

    input_ids: "Tensor"
    attention_mask: "Tensor"

    @property
    def tokens(self) -> int:
        """Number of tokens that are not padding."""
        return int(self.attention_mask.sum())


def read_documents(source: Path) -> Iterator[str]:
    """Texts of a file or of every file in a folder: JSONL with a `text` field, or plain text.

    Raises:
        InvalidInput: There is no such file, a line is no JSON object with a `text`, or a .gz file
            is damaged.
    """
    for path in corpus_files(source):
        try:
            with _open_text(path) as lines:
                yield from _texts(path, lines)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InvalidInput(f"{path} is no whole gzip file ({error}).") from error


def _texts(path: Path, lines: TextIO) -> Iterator[str]:
    if ".jsonl" not in path.name:
        yield from _cut(lines.read())
        return
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            text = json.loads(line)["text"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InvalidInput(
                f"{path}, line {number}: not a JSON object with a 'text' field ({error})."
            ) from error
        if not isinstance(text, str):
            raise InvalidInput(f"{path}, line {number}: 'text' is not a string.")
        yield from _cut(text)


def corpus_files(source: Path) -> list[Path]:
    """Files of a corpus in a fixed order.

    Raises:
        InvalidInput: `source` holds no text.
    """
    if source.is_file():
        return [source]
    files = sorted(p for p in source.rglob("*") if p.is_file() and p.name.endswith(_SUFFIXES))
    if not files:
        raise InvalidInput(f"{source}: no files named {', '.join('*' + s for s in _SUFFIXES)}.")
    return files


def corpus_fingerprint(source: Path) -> str:
    """sha256 over the names and contents of the corpus files."""
    digest = hashlib.sha256()
    for path in corpus_files(source):
        digest.update(path.name.encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _open_text(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return cast(TextIO, gzip.open(path, "rt", encoding="utf-8", errors="replace"))
    return path.open(encoding="utf-8", errors="replace")


def _cut(text: str) -> Iterator[str]:
    for start in range(0, len(text), _DOCUMENT_CHARS):
        yield text[start : start + _DOCUMENT_CHARS]


def sentences(text: str) -> list[str]:
    """Sentences of a text, blank ones left out."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part and part.strip()]


class TokenizedText:
    """Sentences of a corpus as token ids, memory-mapped.

    Args:
        folder: Where `TokenizedText.write` put the arrays.
        special_tokens: Ids of [CLS], [SEP], and [PAD].
    """

    def __init__(self, folder: Path, special_tokens: tuple[int, int, int]) -> None:
        self._ids = np.load(folder / "ids.npy", mmap_mode="r")
        self._starts = np.load(folder / "starts.npy", mmap_mode="r")
        self._documents = np.load(folder / "documents.npy", mmap_mode="r")
        self._cls, self._sep, self._pad = special_tokens

    def __len__(self) -> int:
        return len(self._documents)

    @property
    def tokens(self) -> int:
        """Number of tokens in all."""
        return len(self._ids)

    @staticmethod
    def write(folder: Path, documents: "list[list[npt.NDArray[np.int32]]]") -> None:
        """Write tokenised documents (sentences of ids); the folder appears only when whole."""
        flat = [ids for document in documents for ids in document]
        partial = folder.with_name(folder.name + ".partial")
        partial.mkdir(parents=True, exist_ok=True)
        np.save(partial / "ids.npy", np.concatenate(flat))
        np.save(partial / "starts.npy", np.cumsum([0, *map(len, flat)], dtype=np.int64))
        np.save(
            partial / "documents.npy",
            np.repeat(np.arange(len(documents), dtype=np.int32), [len(d) for d in documents]),
        )
        os.replace(partial, folder)

    def batch(self, rng: np.random.Generator, rows: int, length: int) -> Batch:
        """Draw rows of consecutive sentences, each filled up to `length` tokens or nearly so.

        Args:
            rng: Source of the rows' starting sentences.
            rows: Number of rows.
            length: Tokens a row may have, [CLS] and [SEP] included; longer sentences are cut.
        """
        return self._pack([self._row(int(rng.integers(len(self))), length) for _ in range(rows)])

    def _row(self, sentence: int, length: int) -> npt.NDArray[np.int32]:
        document, start = self._documents[sentence], self._starts[sentence]
        room, end = length - 2, self._starts[sentence + 1]
        following = sentence + 1
        while (
            following < len(self)
            and self._documents[following] == document
            and self._starts[following + 1] - start <= room
        ):
            following += 1
            end = self._starts[following]
        return np.asarray(self._ids[start : min(end, start + room)])

    def _pack(self, rows: list[npt.NDArray[np.int32]]) -> Batch:
        import torch

        longest = max(map(len, rows)) + 2
        ids = np.full((len(rows), longest), self._pad, np.int64)
        mask = np.zeros((len(rows), longest), np.int64)
        for row, tokens in enumerate(rows):
            ids[row, 0], ids[row, len(tokens) + 1] = self._cls, self._sep
            ids[row, 1 : len(tokens) + 1] = tokens
            mask[row, : len(tokens) + 2] = 1
        return Batch(torch.from_numpy(ids), torch.from_numpy(mask))


@dataclass(frozen=True)
class Corpus:
    """A tokenised corpus.

    Attributes:
        train: Sentences to train on.
        held_out: Sentences of other documents, one document in a hundred.
        sha256: Fingerprint of the source files.
    """

    train: TokenizedText
    held_out: TokenizedText
    sha256: str


def tokenize_corpus(
    source: Path,
    tokenizer: "PreTrainedTokenizerBase",
    cache: Path,
    max_documents: int | None = None,
) -> Corpus:
    """Tokenise a corpus, or reuse what an earlier call left in `cache`.

    Args:
        source: A file, or a folder of files, see `read_documents`.
        tokenizer: The teacher's tokenizer.
        cache: Folder for the arrays; one sub-folder for every (files, tokenizer).
        max_documents: Stop after that many documents.

    Raises:
        InvalidInput: The corpus cannot be read or is too small to hold anything out.
    """
    fingerprint = corpus_fingerprint(source)
    key = hashlib.sha256(
        f"{fingerprint} {sorted(tokenizer.get_vocab().items())} {type(tokenizer).__name__} "
        f"{max_documents}".encode()
    ).hexdigest()[:16]
    folders = {part: cache / f"{key}-{part}" for part in ("train", "held-out")}
    if not all(folder.is_dir() for folder in folders.values()):
        for part, documents in _tokenize(source, tokenizer, max_documents).items():
            if not folders[part].is_dir():  # a killed call may have left one of the two
                TokenizedText.write(folders[part], documents)
    special = (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id)
    if None in special:
        raise InvalidInput("The tokenizer lacks a [CLS], [SEP], or [PAD] token.")
    return Corpus(
        train=TokenizedText(folders["train"], special),
        held_out=TokenizedText(folders["held-out"], special),
        sha256=fingerprint,
    )


def _tokenize(
    source: Path, tokenizer: "PreTrainedTokenizerBase", max_documents: int | None
) -> "dict[str, list[list[npt.NDArray[np.int32]]]]":
    parts: dict[str, list[list[npt.NDArray[np.int32]]]] = {"train": [], "held-out": []}
    for text in islice(read_documents(source), max_documents):
        found = sentences(text)
        if not found:
            continue
        ids = tokenizer(found, add_special_tokens=False, verbose=False)["input_ids"]
        part = "train" if zlib.crc32(text.encode()) % _HELD_OUT_SHARE else "held-out"
        if any(ids):
            parts[part].append([np.asarray(sentence, np.int32) for sentence in ids if sentence])
    if not parts["held-out"]:  # a small corpus: its last document is held out
        if len(parts["train"]) < 2:
            raise InvalidInput(f"{source}: needs two texts at least, to hold one out.")
        parts["held-out"] = [parts["train"].pop()]
    if not parts["train"]:
        raise InvalidInput(f"{source}: needs two texts at least, to train on one.")
    return parts
