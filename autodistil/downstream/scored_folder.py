"""Hash and costs of whatever can be scored: encoders with what follows them, and static tables."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from autodistil.downstream.scores import Role, ScoredModel
from autodistil.downstream.static_table import StaticTable
from autodistil.models.model_folder import read_facts
from autodistil.models.sentence_folder import MODULES, read_sentence_folder


def describe_model(name: str, folder: Path, role: Role) -> ScoredModel:
    """A model of a comparison.

    Its hash covers the sentence modules too, so that no score outlives a change of one. A static
    table has no MACs, and its values for parameters.

    Args:
        name: What it is called.
        folder: Where it is.
        role: What it is.

    Raises:
        InvalidInput: There is no usable model in the folder.
    """
    sentence = read_sentence_folder(folder)
    if not sentence.static:
        facts = read_facts(folder)
        return ScoredModel(
            name=name, role=role, sha256=facts.sha256, macs=facts.macs, params=facts.params
        )
    own = [sentence.encoder_path / name for name in ("model.safetensors", "tokenizer.json")]
    places = [folder / inner for inner in sentence.folders if inner != sentence.encoder]
    more = [path for place in places if place.is_dir() for path in sorted(place.iterdir())]
    return ScoredModel(
        name=name,
        role=role,
        sha256=_hash(folder, [*own, folder / MODULES, *filter(Path.is_file, more)]),
        macs=0,
        params=StaticTable.load(sentence.encoder_path).table.size,
    )


def _hash(folder: Path, files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
