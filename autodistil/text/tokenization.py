"""Documents to arrays of token ids on disk, a few thousand sentences at a time."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autodistil.errors import InvalidInput
from autodistil.text.bare_tokenizer import bare_tokenizer
from autodistil.text.documents import CorpusSource, Document
from autodistil.text.growing_array import GrowingArray
from autodistil.text.held_out import is_held_out
from autodistil.text.sentences import RULES, sentences

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

OnProgress = Callable[[int, int | None], None]
"""Called with how much is done, and how much there is to do if that is known."""

_KIND = "tokens-3"
"""Changes whenever the same sources and tokenizers would give other arrays, or other files."""
_BATCH_CHARS = 1 << 16
"""Text per call of the tokenizer: many documents, but few enough to stay in the CPU's caches."""


class TokenArrays:
    """The arrays of one part of a corpus, written document by document.

    `ids` are all tokens in a row, `starts` where each sentence begins (and the last one ends) in
    them, `documents` the document that each sentence belongs to.

    Args:
        folder: An existing folder.
        files: Closes the arrays.
    """

    def __init__(self, folder: Path, files: ExitStack) -> None:
        self._ids = files.enter_context(GrowingArray(folder / "ids.npy", np.int32))
        self._starts = files.enter_context(GrowingArray(folder / "starts.npy", np.int64))
        self._documents = files.enter_context(GrowingArray(folder / "documents.npy", np.int32))
        self._starts.append(np.zeros(1, np.int64))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, document: list[list[int]]) -> None:
        """Add a document: the ids of its sentences, none of them empty."""
        lengths = np.fromiter(map(len, document), np.int64)
        self._starts.append(len(self._ids) + np.cumsum(lengths))
        self._ids.append(np.fromiter(chain.from_iterable(document), np.int32))
        self._documents.append(np.full(len(document), self._count, np.int32))
        self._count += 1


def tokens_key(
    fingerprint: str, tokenizer: "PreTrainedTokenizerBase", max_documents: int | None
) -> str:
    """A name for arrays of tokens, another one if anything is other that makes them.

    Args:
        fingerprint: Of the source.
        tokenizer: A fast tokenizer; all of it counts, such as how it normalises letters, but not
            how it would cut and pad.
        max_documents: Stop after that many documents.

    Raises:
        InvalidInput: The tokenizer is no fast one.
    """
    bare = bare_tokenizer(tokenizer)
    parts = [_KIND, RULES, fingerprint, bare.to_str(), bare.encode_special_tokens, max_documents]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def write_tokens(
    source: CorpusSource,
    tokenizer: "PreTrainedTokenizerBase",
    train: Path,
    held_out: Path,
    max_documents: int | None,
    on_progress: OnProgress,
) -> None:
    """Tokenise a source into two folders; memory does not grow with the source.

    Args:
        source: The text.
        tokenizer: A fast tokenizer.
        train: Folder for the arrays of most documents; replaced if it is there.
        held_out: The same for those held out; of a small corpus the last document.
        max_documents: Stop after that many documents.
        on_progress: Called now and then with documents done and `max_documents`, or else with
            what was read of the source and its size.

    Raises:
        InvalidInput: The source cannot be read or is too small to hold anything out. Both folders
            are gone then, as after any other error.
    """
    folders = (train, held_out)
    try:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        with ExitStack() as files:
            parts = TokenArrays(train, files), TokenArrays(held_out, files)
            documents = _report(source, max_documents, on_progress)
            _divide(_tokenize(documents, bare_tokenizer(tokenizer)), *parts)
            if not all(map(len, parts)):
                raise InvalidInput(
                    f"{source.name} needs two texts at least, to train on one and hold one out."
                )
    except BaseException:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _divide(
    documents: Iterable[tuple[str, list[list[int]]]], train: TokenArrays, held_out: TokenArrays
) -> None:
    last: list[list[int]] | None = None  # of the training documents: may have to be held out
    for text, ids in documents:
        if is_held_out(text):
            held_out.append(ids)
            continue
        if last is not None:
            train.append(last)
        last = ids
    if last is not None:
        (train if len(held_out) else held_out).append(last)


def _report(
    source: CorpusSource, max_documents: int | None, on_progress: OnProgress
) -> Iterator[list[Document]]:
    """Documents of a source in batches, each reported when the next one is asked for."""
    total = source.size() if max_documents is None else max_documents
    done = 0
    for batch in _batches(islice(source.documents(), max_documents)):
        yield batch
        done = batch[-1].end if max_documents is None else done + len(batch)
        on_progress(done, total)


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    chars = 0
    for document in documents:
        batch.append(document)
        chars += len(document.text) + 1
        if chars >= _BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch


def _tokenize(
    batches: Iterable[list[Document]], tokenizer: "Tokenizer"
) -> Iterator[tuple[str, list[list[int]]]]:
    """Every text with the ids of its sentences, those without any left out."""
    for batch in batches:
        found = [[one.text.strip()] if one.whole else sentences(one.text) for one in batch]
        # The fast variant leaves out where in the text each token was, which nobody asks for.
        encodings = iter(
            tokenizer.encode_batch_fast(list(chain.from_iterable(found)), add_special_tokens=False)
        )
        for document, its_sentences in zip(batch, found, strict=True):
            rows = [encoding.ids for encoding in islice(encodings, len(its_sentences))]
            if any(rows):
                yield document.text, [row for row in rows if row]
