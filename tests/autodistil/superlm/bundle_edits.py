"""Changes to a bundle that its tests make, and what refuses it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from autodistil.errors import InvalidBundle
from autodistil.superlm.bundle import CANDIDATES, SPEC, WEIGHTS, open_superlm
from tests.factories import edit_json, rehash


def refused(folder: Path, message: str) -> None:
    with pytest.raises(InvalidBundle, match=message):
        open_superlm(folder)


def edit_spec(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the spec in place."""

    def apply(spec: dict[str, Any]) -> dict[str, Any]:
        change(spec)
        return spec

    edit_json(folder / SPEC, apply)


def edit_candidates(folder: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """Change the candidate table in place, and its hash with it."""

    def apply(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        change(rows)
        return rows

    edit_json(folder / CANDIDATES, apply)
    rehash(folder)


def edit_weights(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the tensors in place, and their hash with them."""
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)
    rehash(folder)
