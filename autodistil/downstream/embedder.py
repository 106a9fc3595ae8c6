"""Sentence embedders: anything that makes a vector of a text, from a folder as a rule."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from autodistil.downstream.static_table import StaticTable
from autodistil.families.registry import longest_text
from autodistil.models.model_folder import load_folder
from autodistil.models.sentence_folder import SentenceFolder, read_sentence_folder

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase

Vectors = NDArray[np.float32]
"""Sentence vectors, [texts, width]."""
OnTexts = Callable[[int, int], None]
"""Called with how many texts are embedded, and how many there are."""

_BATCH = 64
_LONGEST = 512
"""Tokens of a text where nothing says how many a model can read."""


class Embedder(Protocol):
    """Makes vectors of texts."""

    def encode(self, texts: Sequence[str], on_texts: OnTexts = lambda done, total: None) -> Vectors:
        """Vectors of texts, [texts, width], in the order of the texts."""


def open_embedder(folder: Path) -> Embedder:
    """The sentence embedder in a folder: a student, a teacher, any encoder, or a static table.

    The folder's own tokenizer, longest text, pooling, Dense modules and normalisation are used.
    No code of the folder's is run.

    Raises:
        InvalidInput: There is none, or one that does something that is not supported here.
    """
    from autodistil.models.sentence_steps import load_steps

    sentence = read_sentence_folder(folder)
    if sentence.static:
        return StaticTable.load(sentence.encoder_path, load_steps(sentence))
    loaded = load_folder(folder)
    model: Any = loaded.model
    model.eval()

    def hidden_states(tokens: Mapping[str, "Tensor"]) -> "Tensor":
        hidden: Tensor = model(**tokens).last_hidden_state
        return hidden

    positions = longest_text(model.config.to_dict())
    longest = sentence.longest(positions, loaded.tokenizer.model_max_length)
    return PoolingEmbedder(
        hidden_states, loaded.tokenizer, longest or _LONGEST, sentence, load_steps(sentence)
    )


class PoolingEmbedder:
    """Pooled hidden states of any model, in batches of texts of about one length.

    Args:
        hidden_states: From what the tokenizer made of a batch, `input_ids` and `attention_mask` of
            [batch, tokens] among it, to [batch, tokens, hidden].
        tokenizer: The model's.
        max_length: Tokens of a text; the rest is cut off.
        sentence: What comes before the tokenizer and after the encoder; None: the mean alone.
        steps: From pooled to final vectors, from `load_steps`; None: nothing.
        batch_size: Texts of a batch.
    """

    def __init__(
        self,
        hidden_states: Callable[[Mapping[str, "Tensor"]], "Tensor"],
        tokenizer: "PreTrainedTokenizerBase",
        max_length: int = 128,
        sentence: SentenceFolder | None = None,
        steps: "nn.Module | None" = None,
        batch_size: int = _BATCH,
    ) -> None:
        self._hidden_states = hidden_states
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._sentence = sentence or SentenceFolder("")
        self._prompt = self._sentence.prompt
        self._steps = steps
        self._batch_size = batch_size

    def encode(self, texts: Sequence[str], on_texts: OnTexts = lambda done, total: None) -> Vectors:
        """Vectors of texts, [texts, width], in the order of the texts."""
        import torch

        if not texts:
            raise ValueError("no texts to embed")
        tokens = self._tokenize(texts)
        lengths = [len(ids) for ids in tokens["input_ids"]]
        # A batch holds texts of about one length, so little padding; the order is restored below.
        order = sorted(range(len(texts)), key=lengths.__getitem__)
        vectors: Vectors | None = None
        with torch.inference_mode():
            for start in range(0, len(order), self._batch_size):
                chosen = order[start : start + self._batch_size]
                rows = {name: [values[i] for i in chosen] for name, values in tokens.items()}
                found = self._embed(rows)
                if vectors is None:
                    vectors = np.empty((len(texts), found.shape[1]), np.float32)
                vectors[chosen] = found
                on_texts(start + len(chosen), len(texts))
        assert vectors is not None  # noqa: S101  # there is at least one batch
        return vectors

    def _tokenize(self, texts: Sequence[str]) -> dict[str, list[list[int]]]:
        given = [self._prompt + text.strip() for text in texts]
        return dict(self._tokenizer(given, truncation=True, max_length=self._max_length))

    def _embed(self, rows: dict[str, list[list[int]]]) -> Vectors:
        from autodistil.models.sentence_steps import apply_steps
        from autodistil.models.sentence_vectors import pool

        batch = self._tokenizer.pad(rows, return_tensors="pt")
        hidden, mask = self._hidden_states(batch), batch["attention_mask"]
        pooled = pool(hidden, mask, self._sentence.pooling)
        made = pooled if self._steps is None else apply_steps(self._steps, pooled)
        vectors: Vectors = made.numpy()
        return vectors
