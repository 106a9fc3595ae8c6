"""A sentence embedder without a model: the mean of its tokens' rows in a table."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from autodistil.errors import InvalidInput

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import nn

_CHUNK = 4_096
_KEY = "embedding.weight"


class StaticTable:
    """A table of token vectors, in the form of sentence-transformers' `StaticEmbedding`.

    Args:
        table: A row for every token of the tokenizer, [tokens, width].
        tokenizer: Its tokenizer; special tokens are not added.
        steps: From means to final vectors, [texts, width] to [texts, width]; None: nothing.
    """

    def __init__(
        self,
        table: NDArray[np.floating],
        tokenizer: "Tokenizer",
        steps: "nn.Module | None" = None,
    ) -> None:
        if len(table) < tokenizer.get_vocab_size():
            raise InvalidInput(
                f"The table has {len(table)} rows for {tokenizer.get_vocab_size()} tokens."
            )
        self.table = table.astype(np.float32)
        self._tokenizer = tokenizer
        self._tokenizer.no_padding()
        self._steps = steps

    @classmethod
    def load(cls, folder: Path, steps: "nn.Module | None" = None) -> "StaticTable":
        """Load what `save` wrote, or sentence-transformers.

        Raises:
            InvalidInput: There is no table in the folder.
        """
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        try:
            table = load_file(folder / "model.safetensors")[_KEY]
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # tokenizers raises bare exceptions
            raise InvalidInput(f"{folder} holds no static table: {error!r}") from error
        return cls(table, tokenizer, steps)

    def save(self, folder: Path) -> None:
        """Write it in half precision, with a normalisation after it, so that
        sentence-transformers loads it too.
        """
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file({_KEY: self.table.astype(np.float16)}, folder / "model.safetensors")
        self._tokenizer.save(str(folder / "tokenizer.json"))
        kinds = (("", "StaticEmbedding"), ("1_Normalize", "Normalize"))
        modules = [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(kinds)
        ]
        (folder / "modules.json").write_text(json.dumps(modules, indent=2) + "\n")

    def encode(
        self,
        texts: Sequence[str],
        on_texts: Callable[[int, int], None] = lambda done, total: None,
    ) -> NDArray[np.float32]:
        """Vectors of texts, [texts, width]; of a text without tokens, zeros."""
        import torch
        from torch.nn import functional as F

        from autodistil.models.sentence_steps import apply_steps

        table, parts = torch.from_numpy(self.table), []
        for start in range(0, len(texts), _CHUNK):
            chosen = list(texts[start : start + _CHUNK])
            rows = [e.ids for e in self._tokenizer.encode_batch(chosen, add_special_tokens=False)]
            starts = np.cumsum([0, *(len(ids) for ids in rows[:-1])])
            ids = torch.tensor([token for ids in rows for token in ids], dtype=torch.long)
            vectors = F.embedding_bag(ids, table, torch.from_numpy(starts), mode="mean")
            if self._steps is not None:
                vectors = apply_steps(self._steps, vectors)
            parts.append(vectors.numpy())
            on_texts(start + len(chosen), len(texts))
        return np.concatenate(parts)
