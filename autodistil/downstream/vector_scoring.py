"""Scores of a model's vectors as they are: people's judgement, probes, retrieval."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autodistil.downstream.embedder import OnTexts, Vectors
from autodistil.downstream.probes import MOST_EXAMPLES, draw_examples, probe_accuracy
from autodistil.downstream.remembering import Embedders, RememberingEmbedder
from autodistil.downstream.retrieval import NEAREST, Found, nearest, recall
from autodistil.downstream.scores import PROBE, ScoredModel
from autodistil.downstream.scoring import Assignment, Measured, OnStep, Splits, fingerprint
from autodistil.downstream.task_data import Examples
from autodistil.downstream.zero_shot import stsb_spearman
from autodistil.errors import InvalidInput

ZERO_SHOT = "stsb-zero-shot"
"""STS-B by the cosine of sentence vectors, without fine-tuning."""
RETRIEVAL = "retrieval"
"""Recall of the reference's neighbours, queries and documents by the model itself."""
TEACHERS_INDEX = "teacher-index"
"""The same, queries by the model and documents by the reference."""

_VECTORS = {"vectors": "of the folder's own modules"}
RETRIEVED_SENTENCES = 21_000
"""Held-out sentences of the retrieval: 1,000 queries and 20,000 documents."""
_QUERY_SHARE = 21
_FEWEST_SENTENCES = 210


class ZeroShot(Assignment):
    """STS-B without fine-tuning.

    Args:
        pairs: Its development set.
        embedders: The embedders of the comparison.
    """

    def __init__(self, pairs: Examples, embedders: Embedders) -> None:
        super().__init__(ZERO_SHOT, {**_VECTORS, "dev": fingerprint(pairs)}, seeded=False)
        self._pairs, self._embedders = pairs, embedders

    def _measure(
        self, model: ScoredModel, folder: Path, seed: int | None, on_step: OnStep
    ) -> Measured:
        embedder = self._embedders.open(model.sha256, folder)
        return Measured("spearman", stsb_spearman(embedder, self._pairs, on_step), {})


class Probe(Assignment):
    """Logistic regression on frozen vectors.

    Args:
        task: Name of the task.
        splits: Its examples; of the training ones, not all may be used.
        embedders: The embedders of the comparison.
    """

    def __init__(self, task: str, splits: Splits, embedders: Embedders) -> None:
        used = Splits(draw_examples(splits.train), splits.dev)
        settings = {**_VECTORS, "max_examples": MOST_EXAMPLES, **used.fingerprints()}
        super().__init__(PROBE + task, settings, seeded=False)
        self._splits, self._embedders = used, embedders

    def _measure(
        self, model: ScoredModel, folder: Path, seed: int | None, on_step: OnStep
    ) -> Measured:
        embedder = self._embedders.open(model.sha256, folder)
        found = probe_accuracy(embedder, self._splits.train, self._splits.dev, on_step)
        _, counts = np.unique(self._splits.dev.labels, return_counts=True)
        # What the most common answer scores: an accuracy near it says nothing.
        return Measured("accuracy", found, {"most_common": float(counts.max() / counts.sum())})


class RetrievalText:
    """Queries, documents, and what the reference finds among them.

    Args:
        sentences: Held-out sentences, see `autodistil.text.held_out`.
        reference: The model whose neighbours are looked for.
        folder: Where it is.
        embedders: The embedders of the comparison.

    Raises:
        InvalidInput: There are too few sentences.
    """

    def __init__(
        self, sentences: Sequence[str], reference: ScoredModel, folder: Path, embedders: Embedders
    ) -> None:
        if len(sentences) < _FEWEST_SENTENCES:
            raise InvalidInput(
                f"Retrieval needs {_FEWEST_SENTENCES} held-out sentences at least, and does best "
                f"with {RETRIEVED_SENTENCES:,}; there are {len(sentences)}. One line in 32 of the "
                "files is held out: name more files with --sentences."
            )
        count = len(sentences) // _QUERY_SHARE
        self.queries, self.documents = list(sentences[:count]), list(sentences[count:])
        self._reference, self._folder, self._embedders = reference, folder, embedders
        self._wanted: Found | None = None
        content = json.dumps(list(sentences)).encode()
        self.settings: dict[str, Any] = {
            **_VECTORS,
            "reference": reference.sha256,
            "queries": len(self.queries),
            "documents": len(self.documents),
            "nearest": NEAREST,
            "sentences": hashlib.sha256(content).hexdigest()[:16],
        }

    def open(self, model: ScoredModel, folder: Path) -> RememberingEmbedder:
        """A model's embedder."""
        return self._embedders.open(model.sha256, folder)

    def reference(self) -> RememberingEmbedder:
        """The reference's embedder."""
        return self.open(self._reference, self._folder)

    def index(self, on_texts: OnTexts) -> Vectors:
        """The reference's vectors of the documents, [documents, width]."""
        return self.reference().encode(self.documents, on_texts)

    def wanted(self, on_texts: OnTexts) -> Found:
        """What the reference finds."""
        if self._wanted is None:
            index = self.index(on_texts)
            self._wanted = nearest(self.reference().encode(self.queries, on_texts), index)
        return self._wanted


class Retrieval(Assignment):
    """Recall of the reference's nearest documents.

    Args:
        text: Queries and documents.
        teachers_index: Whether the documents' vectors are the reference's, and not the model's own.
    """

    def __init__(self, text: RetrievalText, *, teachers_index: bool) -> None:
        name = TEACHERS_INDEX if teachers_index else RETRIEVAL
        super().__init__(name, text.settings, seeded=False)
        self._text, self._teachers_index = text, teachers_index

    def applies(self, model: ScoredModel, folder: Path) -> bool:
        """Whether the model's vectors are as wide as those of the index."""
        if not self._teachers_index:
            return True
        word = self._text.queries[:1]
        embedders = (self._text.open(model, folder), self._text.reference())
        own, reference = (embedder.encode(word).shape[1] for embedder in embedders)
        return bool(own == reference)

    def _measure(
        self, model: ScoredModel, folder: Path, seed: int | None, on_step: OnStep
    ) -> Measured:
        wanted = self._text.wanted(on_step)
        embedder = self._text.open(model, folder)
        queries = embedder.encode(self._text.queries, on_step)
        if self._teachers_index:
            documents = self._text.index(on_step)
        else:
            documents = embedder.encode(self._text.documents, on_step)
        return Measured(f"recall@{NEAREST}", recall(nearest(queries, documents), wanted), {})
