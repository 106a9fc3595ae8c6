"""Text to token batches.

A corpus is tokenised once, sentence by sentence, into two memory-mapped arrays; a batch is then a
function of (seed, step) alone, so that a resumed run sees exactly the batches of an unbroken one.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from autodistil.errors import InvalidInput
from autodistil.text.documents import CorpusSource
from autodistil.text.special_tokens import SpecialTokens, special_tokens
from autodistil.text.text_files import TextFiles
from autodistil.text.tokenization import OnProgress, tokens_key, write_tokens

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase


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


class TokenizedText:
    """Sentences of a corpus as token ids, memory-mapped.

    Args:
        folder: Where `write_tokens` put the arrays.
        special: What stands around a text in a batch, and the padding.

    Raises:
        InvalidInput: The arrays are damaged.
    """

    def __init__(self, folder: Path, special: SpecialTokens) -> None:
        try:
            self._ids: npt.NDArray[np.int32] = _load(folder / "ids.npy")
            self._starts: npt.NDArray[np.int64] = _load(folder / "starts.npy")
            self._documents: npt.NDArray[np.int32] = _load(folder / "documents.npy")
            if self._starts[-1] != len(self._ids) or len(self._starts) != len(self._documents) + 1:
                raise ValueError("its files do not belong together")
        except (OSError, ValueError, EOFError, IndexError) as error:
            raise InvalidInput(
                f"The tokenised text in {folder} is damaged ({error}); delete the folder, and it "
                "is made again."
            ) from error
        self.special = special

    def __len__(self) -> int:
        return len(self._documents)

    @property
    def tokens(self) -> int:
        """Number of tokens in all."""
        return len(self._ids)

    @property
    def ids(self) -> npt.NDArray[np.int32]:
        """All tokens in a row, [tokens]."""
        return self._ids

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """Where each sentence begins, and the last one ends, [sentences + 1]."""
        return self._starts

    @property
    def documents(self) -> npt.NDArray[np.int32]:
        """The document that each sentence belongs to, [sentences]."""
        return self._documents

    def batch(self, rng: np.random.Generator, rows: int, length: int, neighbours: int = 1) -> Batch:
        """Draw rows of consecutive sentences, each filled up to `length` tokens or nearly so.

        Args:
            rng: Source of the rows' starting sentences.
            rows: Number of rows.
            length: Tokens a row may have, special ones included; longer sentences are cut.
            neighbours: Rows that follow each other in the text. Sentences drawn alone are all about
                equally far from each other; neighbours have something in common.
        """
        return self.read(*self.draw(rng, rows, length, neighbours), length)

    def draw(
        self, rng: np.random.Generator, rows: int, length: int, neighbours: int = 1
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Which sentences `batch` draws: the first of each row, and the one after its last."""
        first: list[int] = []
        end: list[int] = []
        while len(first) < rows:
            sentence = int(rng.integers(len(self)))
            for _ in range(neighbours):
                first.append(sentence)
                sentence = self._following(sentence, length)
                end.append(sentence)
                if sentence == len(self):
                    break
        return np.array(first[:rows], np.int64), np.array(end[:rows], np.int64)

    def _following(self, sentence: int, length: int) -> int:
        """The sentence after a row that begins with `sentence`."""
        document = self._documents[sentence]
        most = self._starts[sentence] + length - self.special.around
        following = sentence + 1
        while (
            following < len(self)
            and self._documents[following] == document
            and self._starts[following + 1] <= most
        ):
            following += 1
        return following

    def read(self, first: npt.NDArray[np.int64], end: npt.NDArray[np.int64], longest: int) -> Batch:
        """Runs of sentences as the rows of a batch.

        Args:
            first: First sentence of each row, [rows].
            end: The sentence after its last one, [rows].
            longest: Tokens a row may have, special ones included; the rest is cut off.
        """
        begins, stops = self._starts[first], self._starts[end]
        stops = np.minimum(stops, begins + longest - self.special.around)
        return self._pack([self._ids[low:high] for low, high in zip(begins, stops, strict=True)])

    def _pack(self, rows: list[npt.NDArray[np.int32]]) -> Batch:
        import torch

        before, after, pad = self.special
        longest = max(map(len, rows)) + self.special.around
        ids = np.full((len(rows), longest), pad, np.int64)
        mask = np.zeros((len(rows), longest), np.int64)
        for row, tokens in enumerate(rows):
            own = np.concatenate([before, tokens, after])
            ids[row, : len(own)] = own
            mask[row, : len(own)] = 1
        return Batch(torch.from_numpy(ids), torch.from_numpy(mask))


def _load(path: Path) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.load(path, mmap_mode="r")
    return array


@dataclass(frozen=True)
class Corpus:
    """A tokenised corpus.

    Attributes:
        train: Sentences to train on.
        held_out: Sentences of other documents, about one document in 32.
        sha256: Fingerprint of the source.
    """

    train: TokenizedText
    held_out: TokenizedText
    sha256: str


def tokenize_corpus(
    source: Path | CorpusSource,
    tokenizer: "PreTrainedTokenizerBase",
    cache: Path,
    max_documents: int | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> Corpus:
    """Tokenise a corpus, or reuse what an earlier call left in `cache`.

    Args:
        source: Where the text comes from; a path stands for `TextFiles`.
        tokenizer: The teacher's tokenizer.
        cache: Folder for the arrays; one sub-folder for every part of every `tokens_key`. Several
            processes may use it: what one of them tokenises, the others wait for.
        max_documents: Stop after that many documents.
        on_progress: See `write_tokens`.

    Raises:
        InvalidInput: The corpus cannot be read or is too small to hold anything out.
    """
    special = special_tokens(tokenizer)
    if isinstance(source, Path):
        source = TextFiles(source)
    fingerprint = source.fingerprint()
    key = tokens_key(fingerprint, tokenizer, max_documents)
    train, held_out = cache / f"{key}-train", cache / f"{key}-held-out"
    with _alone(cache):
        if not (train.is_dir() and held_out.is_dir()):
            partial = {
                folder: folder.with_name(folder.name + ".partial") for folder in (train, held_out)
            }
            write_tokens(
                source, tokenizer, partial[train], partial[held_out], max_documents, on_progress
            )
            for folder, written in partial.items():
                shutil.rmtree(folder, ignore_errors=True)  # of a killed call, which left one
                os.replace(written, folder)
    return Corpus(TokenizedText(train, special), TokenizedText(held_out, special), fingerprint)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Only one process at a time is here for a folder; the others wait until it is done."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)  # which lets the next one in
