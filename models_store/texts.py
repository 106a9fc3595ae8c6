"""Texts that requests bring, kept like artifacts: under their sha256, apart from the request."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from autodistil.errors import AutoDistilError
from autodistil.selection.on_text import hash_sentences
from models_store.artifacts import ArtifactStore


class TextGone(AutoDistilError):
    """The text of a request is no longer stored, or was altered."""

    status = 410
    type = "text-gone"
    title = "The request's text is gone"


def put_text(store: ArtifactStore, sentences: Sequence[str]) -> str:
    """Keep a text; returns its sha256, as `selection.on_text.hash_sentences` gives it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "text.json"
        file.write_text(json.dumps(list(sentences)))
        return store.put(file).sha256


def read_text(store: ArtifactStore, sha256: str) -> list[str]:
    """The sentences of a text.

    Raises:
        TextGone: It is not stored any more, or was altered.
    """
    try:
        sentences: list[str] = json.loads(store.path(sha256).read_text())
    except (OSError, ValueError) as error:
        raise TextGone("The text of the request is no longer stored; send it again.") from error
    if hash_sentences(sentences) != sha256:
        raise TextGone("The stored text of the request was altered; send it again.")
    return sentences
