"""The teacher's outputs on disk, for runs that see the same batches: repeated passes, ablations.

Kept in fp16: 8 bytes x the teacher's width per slot and compared layer, or about 3 KB for a teacher
that is 384 wide.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from autodistil.text.corpus import Batch
from autodistil.training.objective import Compared

_PARTS = ("queries", "keys", "values", "hidden")


class CachedLayer(NamedTuple):
    """What was kept of a layer's output, [batch, tokens, ...] each."""

    queries: Tensor
    keys: Tensor
    values: Tensor
    hidden: Tensor


class TeacherCache:
    """Outputs of one teacher by what it was given.

    Args:
        folder: One file per batch; any number of runs may share it.
        teacher_sha256: Of the teacher.
        layers: The teacher's layers that are kept.
    """

    def __init__(self, folder: Path, teacher_sha256: str, layers: Sequence[int]) -> None:
        self._folder = folder / teacher_sha256[:16]
        self._layers = tuple(layers)
        self._folder.mkdir(parents=True, exist_ok=True)

    def fetch(self, batch: Batch, run: Callable[[], Sequence[Compared]]) -> Sequence[Compared]:
        """Outputs on a batch, from disk, or from `run`, whose result is kept.

        Returns:
            The compared layers in order; from disk in the precision of the batch's device autocast.
        """
        path = self._folder / f"{self._key(batch)}.safetensors"
        if path.is_file():
            try:
                return self._unpack(load_file(path, device=str(batch.input_ids.device)))
            except (SafetensorError, KeyError):
                path.unlink()  # truncated by a full disk or a power cut: made again
        outputs = run()
        tensors = {
            f"{number}/{part}": getattr(output, part).detach().half().contiguous()
            for number, output in enumerate(outputs)
            for part in _PARTS
        }
        partial = path.with_suffix(f".{os.getpid()}.partial")
        save_file(tensors, partial)
        os.replace(partial, path)
        return self._unpack(tensors)

    def _unpack(self, tensors: dict[str, Tensor]) -> list[CachedLayer]:
        """The first fetch returns what the later ones will, so that every pass is the same."""
        return [
            CachedLayer(*(tensors[f"{number}/{part}"].float() for part in _PARTS))
            for number in range(len(self._layers))
        ]

    def _key(self, batch: Batch) -> str:
        digest = hashlib.sha256(str((self._layers, tuple(batch.input_ids.shape))).encode())
        for tensor in (batch.input_ids, batch.attention_mask):
            digest.update(tensor.to("cpu", torch.int32).numpy().tobytes())
        return digest.hexdigest()[:32]
