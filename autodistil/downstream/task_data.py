"""Labelled examples of a task, read from GLUE's TSV files, from JSON lines, or from the hub."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autodistil.downstream.tasks import TASKS, Task
from autodistil.errors import InvalidInput
from autodistil.text.dataset_sources import import_datasets

HUB = "hub:"
"""Begins the name of a data set on the Hugging Face hub."""

_ROW_FIELDS = (("sentence1", "sentence2"), ("sentence",))


@dataclass(frozen=True)
class Examples:
    """Sentences, or pairs of them, with labels.

    Attributes:
        first: The sentence, or the first one of the pair.
        second: The second ones; None where the task has one sentence.
        labels: Class indices, or numbers for regression.
    """

    first: list[str]
    second: list[str] | None
    labels: list[float]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Iterable[int]) -> "Examples":
        """The examples at these indices, in their order."""
        chosen = list(indices)
        return Examples(
            [self.first[i] for i in chosen],
            None if self.second is None else [self.second[i] for i in chosen],
            [self.labels[i] for i in chosen],
        )


def read_examples(source: str | Path, task: Task, split: str = "dev") -> Examples:
    """Read one split of a task.

    Args:
        source: A folder that holds the files, or a sub-folder named for the task that does; or
            `hub:` and the name of a data set laid out as `nyu-mll/glue`.
        task: The task.
        split: `train`, `dev`, or another name of a file.

    Raises:
        InvalidInput: Nothing is there, or it is not in the task's format.
    """
    if str(source).startswith(HUB):
        return _read_hub(str(source).removeprefix(HUB), task, split)
    path = _find_file(Path(source), task, split)
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidInput(f"{path}, line {line}: not UTF-8 text.") from error
    # Not splitlines: a sentence may hold one of the rarer line separators of Unicode.
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    examples = (
        _parse_tsv(lines, task, path) if path.suffix == ".tsv" else _parse_jsonl(lines, task, path)
    )
    return _at_least_two(examples, path)


def read_stsb(folder: str | Path, split: str = "dev") -> Examples:
    """Read STS-B, sentence pairs with a human score of their similarity (0 to 5).

    Raises:
        InvalidInput: The file is missing or not in that format.
    """
    return read_examples(folder, TASKS["stsb"], split)


def _find_file(source: Path, task: Task, split: str) -> Path:
    names = {"dev": (task.dev, task.hub_dev)}.get(split, (split,))
    paths = [
        source / folder / f"{name}.{kind}"
        for folder in ("", task.folder, task.name)
        for name in names
        for kind in ("tsv", "jsonl")
    ]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        sub_folder = source / task.folder / f"{names[0]}.tsv"
        raise InvalidInput(
            f"No {task.folder} here: neither {paths[0]} nor {sub_folder} exists, nor a .jsonl file."
        )
    return path


def _parse_tsv(lines: list[str], task: Task, path: Path) -> Examples:
    # The GLUE files are tab-separated without quoting, so a quote is an ordinary character.
    columns = list(task.header or lines[0].split("\t"))
    wanted = (*task.texts, task.label)
    if missing := [name for name in wanted if name not in columns]:
        raise InvalidInput(f"{path}, line 1: no columns {', '.join(missing)}.")
    places = [columns.index(name) for name in task.texts]
    label = columns.index(task.label)
    rows = []
    for number, line in enumerate(lines, 1):
        if number == 1 and task.header is None:
            continue
        fields = line.split("\t")
        if len(fields) != len(columns):
            raise InvalidInput(
                f"{path}, line {number}: {len(fields)} columns instead of {len(columns)}."
            )
        rows.append(([fields[i] for i in places], _label(fields[label], task, path, number)))
    return _examples(rows)


def _parse_jsonl(lines: list[str], task: Task, path: Path) -> Examples:
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("not an object")
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"{path}, line {number}: not a JSON object ({error}).") from error
        rows.append(_parse_row(row, task, path, number))
    return _examples(rows)


def _read_hub(name: str, task: Task, split: str) -> Examples:
    datasets = import_datasets()
    try:
        rows = datasets.load_dataset(
            name, task.name, split=task.hub_dev if split == "dev" else split
        )
    except Exception as error:  # datasets meets a bad name or no network in a dozen ways
        raise InvalidInput(f"{HUB}{name} cannot be read: {error}") from error
    where = f"{HUB}{name} {task.name} {split}"
    examples = _examples(
        [_parse_row(row, task, where, number) for number, row in enumerate(rows, 1)]
    )
    return _at_least_two(examples, where)


def _at_least_two(examples: Examples, where: object) -> Examples:
    if len(examples) < 2:
        raise InvalidInput(f"{where}: needs at least two examples.")
    return examples


def _parse_row(
    row: Mapping[str, Any], task: Task, where: object, number: int
) -> tuple[list[str], float]:
    usable = (task.fields, task.texts, *(f for f in _ROW_FIELDS if len(f) == len(task.texts)))
    fields = next((names for names in usable if all(name in row for name in names)), None)
    label = next((name for name in ("label", task.label) if name in row), None)
    if fields is None or label is None:
        wanted = ", ".join((*task.fields, "label"))
        raise InvalidInput(f"{where}, line {number}: lacks one of the fields {wanted}.")
    texts = [row[name] for name in fields]
    if not all(isinstance(text, str) for text in texts):
        raise InvalidInput(f"{where}, line {number}: a sentence is not a string.")
    return texts, _label(row[label], task, where, number)


def _label(value: object, task: Task, where: object, number: int) -> float:
    if task.regression:
        try:
            score = float(str(value))
        except ValueError:
            score = math.nan
        if not math.isfinite(score):
            raise InvalidInput(f"{where}, line {number}: the score {value!r} is not a number.")
        return score
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(task.labels):
        return value
    if str(value) not in task.labels:
        raise InvalidInput(
            f"{where}, line {number}: the label {value!r} is none of {', '.join(task.labels)}."
        )
    return task.labels.index(str(value))


def _examples(rows: list[tuple[list[str], float]]) -> Examples:
    pairs = bool(rows) and len(rows[0][0]) == 2
    return Examples(
        [texts[0] for texts, _ in rows],
        [texts[1] for texts, _ in rows] if pairs else None,
        [label for _, label in rows],
    )
