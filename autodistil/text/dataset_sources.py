"""Text from data sets that the `datasets` library streams: of the Hugging Face hub, or on disk."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from autodistil.errors import InvalidInput
from autodistil.optional import import_optional
from autodistil.text.documents import Document, cut
from autodistil.text.source_files import files_with, hash_files

_BUILDERS = {".parquet": "parquet", ".arrow": "arrow"}
_HUB_NAME = re.compile(
    r"(?P<name>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<revision>[^:]+))?"
    r"(?::(?P<config>[^:]*))?(?::(?P<split>[^:]+))?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubDataset:
    """The `text` column of a data set of the Hugging Face hub, read while it is downloaded.

    Attributes:
        dataset: Its id on the hub.
        config: Its configuration; None: the one it has, or its default.
        split: Its split.
        revision: Commit of its repository, so that the text is always the same.
    """

    dataset: str
    config: str | None
    split: str
    revision: str

    @property
    def name(self) -> str:
        """Id, commit, configuration, and split."""
        return f"{self.dataset}@{self.revision}:{self.config or ''}:{self.split}"

    def size(self) -> None:
        """Not known before all of it was read."""

    def fingerprint(self) -> str:
        """sha256 over id, commit, configuration, and split."""
        return hashlib.sha256(f"hub:{self.name}".encode()).hexdigest()

    def documents(self) -> Iterator[Document]:
        """The texts, row after row.

        Raises:
            InvalidInput: The data set cannot be read, or a row has no text.
        """
        return _documents(
            f"The data set {self.name}",
            lambda datasets: datasets.load_dataset(
                self.dataset,
                self.config,
                split=self.split,
                revision=self.revision,
                streaming=True,
            ),
        )


@dataclass(frozen=True)
class DatasetFiles:
    """The `text` column of a parquet or arrow file, or of all such files in a folder.

    Attributes:
        path: The file or folder, such as one that `Dataset.save_to_disk` wrote.
    """

    path: Path

    @property
    def name(self) -> str:
        """Name of the file or folder."""
        return self.path.resolve().name

    def files(self) -> list[Path]:
        """The files in a fixed order.

        Raises:
            InvalidInput: There are none, or it is a file of another kind.
        """
        files = files_with(self.path, tuple(_BUILDERS))
        if files[0].suffix not in _BUILDERS:
            raise InvalidInput(
                f"{files[0]} is no file named {', '.join(f'*{s}' for s in _BUILDERS)}."
            )
        return files

    def size(self) -> None:
        """Not known before all of it was read: only the rows that were read are counted."""

    def fingerprint(self) -> str:
        """sha256 over the names and contents of the files."""
        return hash_files(self.files())

    def documents(self) -> Iterator[Document]:
        """The texts, file after file and row after row.

        Raises:
            InvalidInput: A file cannot be read, or a row has no text.
        """
        files = (_documents(str(path), _reader(path)) for path in self.files())
        for rows, document in enumerate(chain.from_iterable(files), 1):
            yield Document(document.text, rows)


def find_hub_dataset(name: str) -> HubDataset:
    """A data set of the hub at the commit that its revision has now.

    Args:
        name: `NAME[@REVISION][:CONFIG[:SPLIT]]`; without them the main revision, the only or
            default configuration, and the split `train`.

    Raises:
        InvalidInput: It has no such form, or the hub does not know it or cannot be reached.
    """
    match = _HUB_NAME.fullmatch(name)
    if match is None:
        raise InvalidInput(
            f"{name!r} names no data set; write hub:NAME[@REVISION][:CONFIG[:SPLIT]], "
            "as in hub:wikimedia/wikipedia:20231101.en:train."
        )
    revision = match["revision"]
    if revision is None or not _COMMIT.fullmatch(revision):
        from huggingface_hub import HfApi

        try:
            revision = HfApi().dataset_info(match["name"], revision=revision).sha
        except Exception as error:  # of the hub, of the network, and of its configuration
            raise InvalidInput(
                f"The data set {match['name']} cannot be found on the hub: {error}"
            ) from error
    return HubDataset(
        match["name"], match["config"] or None, match["split"] or "train", str(revision)
    )


def _reader(path: Path) -> Callable[[Any], Iterable[dict[str, Any]]]:
    def read(datasets: Any) -> Iterable[dict[str, Any]]:
        rows: Iterable[dict[str, Any]] = datasets.load_dataset(
            _BUILDERS[path.suffix], data_files=str(path), split="train", streaming=True
        )
        return rows

    return read


def _documents(what: str, load: Callable[[Any], Iterable[dict[str, Any]]]) -> Iterator[Document]:
    """Documents of the rows that `load` gets from the `datasets` library."""
    datasets = import_datasets()
    datasets.disable_progress_bars()
    try:
        rows = load(datasets)
        columns = getattr(rows, "column_names", None)  # not every data set says them in advance
        if columns is not None and "text" in columns:
            rows = rows.select_columns(["text"])  # type: ignore[attr-defined]
        for number, row in enumerate(rows, 1):
            text = row.get("text")
            if not isinstance(text, str):
                raise InvalidInput(
                    f"{what}, row {number}: the column 'text' must hold a string; "
                    f"there are {', '.join(sorted(columns or row))}."
                )
            for part in cut(text):
                yield Document(part, number)
    except InvalidInput:
        raise
    except Exception as error:  # of the hub, the network, pyarrow, and every kind of file
        raise InvalidInput(f"{what} cannot be read: {error}") from error


def import_datasets() -> Any:
    """The `datasets` library, which is an extra.

    Raises:
        InvalidInput: It is not installed; says how to get it.
    """
    return import_optional("datasets", "hub", "Reading data sets")
