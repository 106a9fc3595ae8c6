"""The teacher's sentence vectors, each worked out once and kept: 2 bytes x its width a passage.

With them, a training step runs no teacher. A file may be shared by any number of runs on the same
passages, also at the same time: each row depends on its passage alone, and is whole or zero.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from autodistil.errors import InvalidInput
from autodistil.text.corpus import TokenizedText
from autodistil.text.passages import Passages

_SLOTS = 4096
"""Tokens, padding included, that the teacher is given at once."""
_CENTRE_ROWS = 4096

Embed = Callable[[Tensor, Tensor], Tensor]
"""Token ids and attention mask, [batch, tokens] each, to sentence vectors, [batch, width]."""


class TeacherVectors:
    """A teacher's sentence vectors of some passages, of length 1.

    Args:
        embed: The teacher.
        text: The text, in the teacher's tokens.
        passages: The passages.
        width: Width of a vector.
        longest: Tokens that the teacher is given of a passage at most.
        path: The file that keeps them; None keeps them in memory.

    Raises:
        InvalidInput: The file cannot be written.
    """

    def __init__(
        self,
        embed: Embed,
        text: TokenizedText,
        passages: Passages,
        width: int,
        longest: int,
        path: Path | None = None,
    ) -> None:
        self._embed, self._text, self._passages = embed, text, passages
        self._longest = longest
        self._kept: npt.NDArray[np.float16]
        shape = (len(passages), width)
        if path is None:
            self._kept = np.zeros(shape, np.float16)
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            size = 2 * shape[0] * shape[1]
            if not path.is_file() or path.stat().st_size != size:
                with path.open("ab") as file:  # another run may have opened it by now
                    file.truncate(size)  # a hole: takes room on disk as it is filled
            self._kept = np.memmap(path, np.float16, "r+", shape=shape)
        except OSError as error:
            raise InvalidInput(f"{path} cannot be written: {error.strerror}.") from error

    def fetch(self, indices: npt.NDArray[np.int64]) -> Tensor:
        """Vectors of passages, [rows, width], in fp32; those not known yet are worked out."""
        found = torch.from_numpy(np.asarray(self._kept[indices])).float()
        known = (found.norm(dim=-1) - 1).abs() < 0.01  # a row that was cut off is not
        missing = (~known).nonzero()[:, 0].numpy()
        tokens = self._passages.tokens[indices[missing]]
        missing = missing[np.argsort(tokens, kind="stable")]
        while len(missing):
            longest = int(self._passages.tokens[indices[missing[-1]]])
            now, missing = np.split(missing, [max(0, len(missing) - max(1, _SLOTS // longest))])[
                ::-1
            ]
            rows = indices[now]
            vectors = F.normalize(self._run(rows), dim=-1).cpu().half()
            self._kept[rows] = vectors.numpy()
            found[torch.from_numpy(now)] = vectors.float()
        return found

    def centre(self) -> Tensor:
        """Mean of the vectors, [width], over some thousand passages spread over the text."""
        return self.fetch(self._spread(_CENTRE_ROWS)).mean(0)

    def mean_length(self, most: int) -> float:
        """Mean length of the vectors before they are brought to length 1.

        Args:
            most: Passages to measure on, spread over the text; the teacher runs on them anew.
        """
        indices = self._spread(most)
        parts = np.array_split(indices, -(-len(indices) * self._longest // _SLOTS))
        lengths = torch.cat([self._run(rows).norm(dim=-1) for rows in parts if len(rows)])
        return float(lengths.mean())

    def _run(self, rows: npt.NDArray[np.int64]) -> Tensor:
        """What the teacher makes of passages, [rows, width], in fp32."""
        first, end = self._passages.first[rows], self._passages.end[rows]
        batch = self._text.read(first, end, self._longest)
        return self._embed(batch.input_ids, batch.attention_mask).float()

    def _spread(self, most: int) -> npt.NDArray[np.int64]:
        count = min(most, len(self._passages))
        return np.linspace(0, len(self._passages) - 1, count).astype(np.int64)
