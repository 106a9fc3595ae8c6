"""Text to token batches.

A corpus is tokenised once, sentence by sentence, into two memory-mapped arrays; a batch is then a
function of (seed, step) alone, so that a resumed run sees exactly the batches of an unbroken one.
"""

import copy
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from autodistil.errors import InvalidInput
from autodistil.text.sources import CorpusSource
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
        special_tokens: Ids of [CLS], [SEP], and [PAD].

    Raises:
        InvalidInput: The arrays are damaged.
    """

    def __init__(self, folder: Path, special_tokens: tuple[int, int, int]) -> None:
        try:
            self._ids, self._starts, self._documents = (
                np.load(folder / f"{name}.npy", mmap_mode="r")
                for name in ("ids", "starts", "documents")
            )
            if self._starts[-1] != len(self._ids) or len(self._starts) != len(self._documents) + 1:
                raise ValueError("its files do not belong together")
        except (OSError, ValueError, EOFError, IndexError) as error:
            raise InvalidInput(
                f"The tokenised text in {folder} is damaged ({error}); delete the folder, and it "
                "is made again."
            ) from error
        self._cls, self._sep, self._pad = special_tokens

    def __len__(self) -> int:
        return len(self._documents)

    @property
    def tokens(self) -> int:
        """Number of tokens in all."""
        return len(self._ids)

    def halves(self) -> "tuple[TokenizedText, TokenizedText]":
        """Two parts of about equally many tokens and all kinds of text; no document is in both.

        Raises:
            InvalidInput: There is only one document.
        """
        _, document = np.unique(self._documents, return_inverse=True)
        sizes = np.bincount(document, weights=np.diff(self._starts))
        if len(sizes) < 2:
            raise InvalidInput("The text has a single document, which cannot be divided.")
        second, totals = np.zeros(len(sizes), bool), [0.0, 0.0]
        for index, size in enumerate(sizes):
            second[index] = totals[1] < totals[0]
            totals[int(second[index])] += size
        return self._part(~second[document]), self._part(second[document])

    def _part(self, chosen: npt.NDArray[np.bool_]) -> "TokenizedText":
        """The chosen sentences, [sentences], in memory."""
        part, lengths = copy.copy(self), np.diff(self._starts)
        part._ids = self._ids[np.repeat(chosen, lengths)]
        part._starts = np.concatenate(([0], np.cumsum(lengths[chosen])))
        part._documents = self._documents[chosen]
        return part

    def batch(
        self,
        rng: np.random.Generator,
        rows: int,
        length: int,
        neighbours: int = 1,
        thinned: float = 0.0,
    ) -> Batch:
        """Draw rows of consecutive sentences, each filled up to `length` tokens or nearly so.

        Args:
            rng: Source of the rows' starting sentences.
            rows: Number of rows.
            length: Tokens a row may have, [CLS] and [SEP] included; longer sentences are cut.
            neighbours: Rows that follow each other in the text. Sentences drawn alone are all about
                equally far from each other; neighbours have something in common.
            thinned: If more than 0, every row is followed by itself without some of its tokens,
                up to that share: the nearest of neighbours.
        """
        drawn: list[npt.NDArray[np.int32]] = []
        while len(drawn) < rows:
            sentence = int(rng.integers(len(self)))
            for _ in range(neighbours):
                row, sentence = self._row(sentence, length)
                drawn.append(row)
                if thinned:
                    drawn.append(_thin(rng, row, thinned))
                if sentence == len(self):
                    break
        return self._pack(drawn[:rows])

    def _row(self, sentence: int, length: int) -> tuple[npt.NDArray[np.int32], int]:
        """A row, and the sentence that follows it."""
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
        return np.asarray(self._ids[start : min(end, start + room)]), following

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


def _thin(
    rng: np.random.Generator, row: npt.NDArray[np.int32], most: float
) -> npt.NDArray[np.int32]:
    """A row without a random share of its tokens; one is always left."""
    left = rng.random(len(row)) >= rng.uniform(0.0, most)
    left[rng.integers(len(row))] = True
    return row[left]


@dataclass(frozen=True)
class Corpus:
    """A tokenised corpus.

    Attributes:
        train: Sentences to train on.
        held_out: Sentences of other documents, one document in a hundred.
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
        cache: Folder for the arrays; one sub-folder for every part of every `tokens_key`.
        max_documents: Stop after that many documents.
        on_progress: See `write_tokens`.

    Raises:
        InvalidInput: The corpus cannot be read or is too small to hold anything out.
    """
    special = (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id)
    if None in special:
        raise InvalidInput("The tokenizer lacks a [CLS], [SEP], or [PAD] token.")
    if isinstance(source, Path):
        source = TextFiles(source)
    fingerprint = source.fingerprint()
    key = tokens_key(fingerprint, tokenizer, max_documents)
    train, held_out = cache / f"{key}-train", cache / f"{key}-held-out"
    if not (train.is_dir() and held_out.is_dir()):
        partial = {
            folder: folder.with_name(folder.name + ".partial") for folder in (train, held_out)
        }
        write_tokens(
            source, tokenizer, partial[train], partial[held_out], max_documents, on_progress
        )
        for folder, written in partial.items():
            shutil.rmtree(folder, ignore_errors=True)  # a killed call may have left one of the two
            os.replace(written, folder)
    return Corpus(TokenizedText(train, special), TokenizedText(held_out, special), fingerprint)
