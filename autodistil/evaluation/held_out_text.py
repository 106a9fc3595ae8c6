"""The text that students are measured on: the same rows in the tokens of every vocabulary."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from autodistil.text.corpus import Batch, Corpus
from autodistil.training.settings import TrainingSettings

NEIGHBOURS: int = TrainingSettings.model_fields["neighbours"].default
"""Rows of a held-out batch that follow each other in the text.
The same for every SuperLM, however it was trained, so that the signals can be compared."""


@dataclass(frozen=True)
class HeldOutText:
    """Batches of text; row i of batch n is the same text in every vocabulary.

    Attributes:
        own: In the teacher's tokens.
        by_vocab: In the tokens of students, by their vocabulary; None: the teacher's.
    """

    own: list[Batch]
    by_vocab: Mapping[int | None, list[Batch]]

    @property
    def tokens(self) -> int:
        """Tokens of the teacher, padding not counted."""
        return sum(batch.tokens for batch in self.own)

    @property
    def sha256(self) -> str:
        """Hash of the teacher's tokens, row by row."""
        return _hash(self.own)

    def hashes(self) -> str:
        """Hashes of the tokens in every vocabulary, for what depends on all of them."""
        return " ".join(f"{vocab} {_hash(self.by_vocab[vocab])}" for vocab in self.by_vocab)


def held_out_text(
    own: Corpus,
    by_vocab: Mapping[int | None, Corpus],
    longest: int,
    seed: int = 0,
    rounds: int = 3,
    neighbours: int = NEIGHBOURS,
) -> HeldOutText:
    """Batches of 4,096 slots of held-out text, each round one of 32, one of 64, and one of 128
    tokens a row.

    Args:
        own: The corpus in the teacher's tokens.
        by_vocab: The same in the tokens of students.
        longest: Tokens that a row may have; lengths beyond are cut to it, and drawn once.
        seed: Of the rows drawn.
        rounds: How often the three lengths are drawn.
        neighbours: Rows that follow each other in the text.
    """
    lengths = sorted({min(length, longest) for length in (32, 64, 128)})
    drawn = [
        (
            own.held_out.draw(
                np.random.default_rng([seed, 0x4E1D, i, length]),
                4096 // length,
                length,
                neighbours,
            ),
            length,
        )
        for i in range(rounds)
        for length in lengths
    ]
    return HeldOutText(
        [own.held_out.read(*rows, length) for rows, length in drawn],
        {
            vocab: [
                # Twice the length: in a small vocabulary the same text has more tokens.
                corpus.held_out.read(*rows, length if vocab is None else min(2 * length, longest))
                for rows, length in drawn
            ]
            for vocab, corpus in by_vocab.items()
        },
    )


def _hash(batches: list[Batch]) -> str:
    """sha256 over the tokens of some batches, row by row."""
    digest = hashlib.sha256()
    for batch in batches:
        for tensor in (batch.input_ids, batch.attention_mask):
            digest.update(f"{tuple(tensor.shape)}".encode() + tensor.numpy().tobytes())
    return digest.hexdigest()
