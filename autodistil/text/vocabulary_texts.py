"""A corpus in the tokens of the teacher, and in those of every vocabulary of a sub-space."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autodistil.errors import InvalidInput
from autodistil.text.corpus import Corpus, TokenizedText, tokenize_corpus
from autodistil.text.documents import CorpusSource
from autodistil.text.text_files import TextFiles
from autodistil.text.tokenization import OnProgress
from autodistil.text.vocabulary import least_vocabulary, load_trimmed, rank_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Texts:
    """A corpus in several vocabularies; sentence i is the same in all of them.

    Attributes:
        own: In the teacher's tokens.
        by_vocab: In the tokens of each vocabulary of the sub-space; None: the teacher's.
        kept: The teacher's ids of the SuperLM's tokens, in the SuperLM's order; None: all, as they
            are.
        tokenizer: The SuperLM's; a student's is the beginning of it.
    """

    own: Corpus
    by_vocab: Mapping[int | None, Corpus]
    kept: tuple[int, ...] | None
    tokenizer: "PreTrainedTokenizerBase"

    @property
    def train(self) -> dict[int | None, TokenizedText]:
        """What to train on, in each vocabulary."""
        return {vocab: corpus.train for vocab, corpus in self.by_vocab.items()}

    @property
    def held_out(self) -> dict[int | None, TokenizedText]:
        """What to measure on, in each vocabulary."""
        return {vocab: corpus.held_out for vocab, corpus in self.by_vocab.items()}

    @property
    def largest(self) -> Corpus:
        """In the tokens of the largest vocabulary."""
        return self.by_vocab[max(self.by_vocab, key=lambda vocab: vocab or 0)]

    def tokens_per_text(self) -> dict[int, float]:
        """Tokens of the held-out text in each vocabulary, as a multiple of the teacher's."""
        whole = self.own.held_out.tokens
        return {
            vocab: round(text.tokens / whole, 4)
            for vocab, text in self.held_out.items()
            if vocab is not None
        }


def read_texts(
    source: Path | CorpusSource,
    tokenizer: "PreTrainedTokenizerBase",
    vocab: Sequence[int],
    cache: Path,
    max_documents: int | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> Texts:
    """Tokenise a corpus by the teacher's tokenizer and by one for each vocabulary.

    Args:
        source: Where the text comes from; a path stands for `TextFiles`.
        tokenizer: The teacher's.
        vocab: The sizes of the vocabularies, rising; none: the teacher's only.
        cache: Folder for what is tokenised.
        max_documents: Stop after that many documents.
        on_progress: See `autodistil.text.tokenization.write_tokens`.

    Raises:
        InvalidInput: The corpus cannot be read, or a vocabulary is impossible.
    """
    if isinstance(source, Path):
        source = TextFiles(source)
    own = tokenize_corpus(source, tokenizer, cache, max_documents, on_progress)
    if not vocab:
        return Texts(own, {None: own}, None, tokenizer)
    least = least_vocabulary(tokenizer)
    if vocab[0] <= least or vocab[-1] > len(tokenizer):
        raise InvalidInput(
            f"A vocabulary needs more than the {least:,} special tokens and characters, and at "
            f"most the {len(tokenizer):,} tokens that the teacher has; the sub-space asks for "
            f"{', '.join(f'{size:,}' for size in vocab)}."
        )
    counts = np.bincount(own.train.ids, minlength=len(tokenizer)).astype(np.int64)
    kept = rank_tokens(tokenizer, counts)[: vocab[-1]]
    by_vocab: dict[int | None, Corpus] = {}
    for size in vocab:
        with tempfile.TemporaryDirectory() as folder:
            trimmed = load_trimmed(tokenizer, kept[:size], Path(folder))
        found = tokenize_corpus(source, trimmed, cache, max_documents, on_progress)
        if len(found.train) != len(own.train) or len(found.held_out) != len(own.held_out):
            raise InvalidInput(
                f"The text has other sentences in a vocabulary of {size:,} tokens than in the "
                "teacher's; delete the cache of tokenised text, and it is made again."
            )
        by_vocab[size] = found
    return Texts(own, by_vocab, kept, trimmed)
