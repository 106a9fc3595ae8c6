"""The JSON files of a model, in a folder or, by its id, on the Hugging Face hub."""

import json
from pathlib import Path
from typing import Any

from autodistil.errors import InvalidInput


class ModelFiles:
    """The files of a model.

    Args:
        name: A folder, or as text also the id of a model on the hub; a path is never one.

    Attributes:
        name: The same as text.
        folder: The folder; None: it is an id on the hub.
    """

    def __init__(self, name: str | Path) -> None:
        self.name = str(name)
        is_folder = isinstance(name, Path) or Path(name).is_dir()
        self.folder = Path(name) if is_folder else None

    def find(self, file: str) -> Path | None:
        """Where a file lies on this machine; None if the model has none of that name.

        Args:
            file: Its path inside the folder; `/` separates folders.

        Raises:
            InvalidInput: The path leads out of the folder.
        """
        if self.folder is not None:
            path = self.folder / file
            if ".." in Path(file).parts or Path(file).is_absolute():
                raise InvalidInput(f"{self.folder}: the path {file!r} leads out of the folder.")
            return path if path.is_file() else None
        from transformers.utils.hub import cached_file

        found = cached_file(
            self.name,
            file,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
        return None if found is None else Path(found)

    def read(self, file: str) -> Any:
        """The content of a JSON file; None if there is no file.

        Raises:
            InvalidInput: It is damaged, or holds nothing.
        """
        path = self.find(file)
        if path is None:
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise InvalidInput(f"{path} cannot be read ({error}); mend or delete it.") from error
        if content is None:
            raise InvalidInput(f"{path} holds nothing; mend or delete it.")
        return content

    def read_object(self, file: str) -> dict[str, Any]:
        """The content of a JSON file that holds an object; empty if there is no file.

        Raises:
            InvalidInput: It is damaged, or holds something else.
        """
        content = self.read(file)
        if content is None:
            return {}
        if not isinstance(content, dict):
            raise InvalidInput(f"{self.find(file)} is no JSON object; mend or delete it.")
        return content

    def refuse_own_code(self, encoder: str = "") -> None:
        """Refuse a model that `transformers` could load only by running code of its folder.

        Without this, `transformers` says so itself and advises to let it run.

        Args:
            encoder: Folder of its `config.json` inside the model's.

        Raises:
            InvalidInput: It is such a model.
        """
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING

        config = self.read_object(f"{encoder}/config.json" if encoder else "config.json")
        if "auto_map" in config and config.get("model_type") not in CONFIG_MAPPING:
            raise InvalidInput(
                f"{self.name} is a model of the type {config.get('model_type')!r}, which needs "
                "custom code of its folder (auto_map in config.json). Such code is never run; take "
                "a model of a type that transformers knows by itself."
            )
