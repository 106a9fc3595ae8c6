"""The beginning of a stored tensor, as long as a student needs it along every axis."""

from collections.abc import Callable

import torch
from torch import Tensor

from autodistil.families.parts import Stored

Read = Callable[[tuple[slice, ...]], Tensor]
"""A part of a tensor, such as `tensor.__getitem__`, or of one that lies in a file."""


def cut(read: Read, rows: int, stored: Stored, shape: tuple[int, ...]) -> Tensor:
    """The first rows, columns ... of a tensor; of stacked parts the first of each.

    Args:
        read: Reads parts of the tensor.
        rows: Length of its first axis.
        stored: What the tensor is.
        shape: The shape wanted.
    """
    rest = tuple(slice(size) for size in shape[1:])
    every, wanted = rows // stored.stacked, shape[0] // stored.stacked
    parts = [
        read((slice(place * every, place * every + wanted), *rest))
        for place in range(stored.stacked)
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts)
