"""The list of modules by which sentence-transformers knows a model: the encoder, and what follows.

Read without that package, and without running anything of the folder's.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from autodistil.errors import InvalidInput

MODULES = "modules.json"


@dataclass(frozen=True)
class Module:
    """A module of a sentence embedder.

    Attributes:
        kind: Its class without the package, for example `Dense`.
        folder: Where its files are.
    """

    kind: str
    folder: Path


def list_modules(folder: Path) -> list[Module]:
    """The modules of the model in a folder in their order; none if no `modules.json` lists them.

    Raises:
        InvalidInput: The list is damaged, or leads out of the folder.
    """
    path = folder / MODULES
    if not path.is_file():
        return []
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} cannot be read as JSON: {error}") from error
    modules = []
    try:
        for entry in sorted(entries, key=lambda entry: int(entry["idx"])):
            place = folder / str(entry["path"])
            if not place.resolve().is_relative_to(folder.resolve()):
                raise InvalidInput(f"{path}: the path {entry['path']!r} leads out of the folder.")
            modules.append(Module(str(entry["type"]).rpartition(".")[2], place))
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"{path}: not a list of modules with idx, path and type.") from error
    if not modules:
        raise InvalidInput(f"{path}: lists no modules.")
    return modules
