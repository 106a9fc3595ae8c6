"""The `text` of records in a file: JSON Lines, a JSON array, or a table with a header."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from autodistil.errors import InvalidInput
from autodistil.text.json_values import json_values

_LARGEST = 1 << 26
"""Characters of a cell; a longer one is a quote that nobody closed."""


def json_line_texts(path: Path, lines: TextIO) -> Iterator[str]:
    """Texts of JSON Lines: one object on every line; blank lines are left out.

    Args:
        path: For messages.
        lines: The file.

    Raises:
        InvalidInput: A line is no JSON object with a `text`.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(
                f"{where}: not a JSON object with a 'text' field ({error})."
            ) from error
        yield _text_of(row, where)


def json_texts(path: Path, file: TextIO) -> Iterator[str]:
    """Texts of an array of objects, or of objects one after the other, as in JSON Lines.

    The file is read piece by piece: an array may be larger than the memory.

    Args:
        path: For messages.
        file: The file.

    Raises:
        InvalidInput: The file is no such thing, or an object has no `text`.
    """
    for number, row in enumerate(json_values(path, file), 1):
        yield _text_of(row, f"{path}, item {number}")


def table_texts(path: Path, lines: TextIO, tabs: bool) -> Iterator[str]:
    """The column `text` of a table whose first line names the columns.

    Args:
        path: For messages.
        lines: The file.
        tabs: Cells are separated by tabs, and quotes are characters like others; else by commas,
            and quotes may enclose a cell.

    Raises:
        InvalidInput: There is no column `text`, or a row has more or fewer cells than the first.
    """
    csv.field_size_limit(_LARGEST)
    rows = (
        csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        if tabs
        else csv.reader(lines, strict=True)
    )
    try:
        columns = [name.strip() for name in next(rows, [])]
        if columns.count("text") != 1:
            raise InvalidInput(
                f"{path}: its first line must name the columns, separated by "
                f"{'tabs' if tabs else 'commas'}, one of them 'text'; it has "
                f"{', '.join(map(repr, columns[:20])) or 'nothing'}."
            )
        place = columns.index("text")
        for row in rows:
            if row and len(row) != len(columns):
                raise InvalidInput(
                    f"{path}, line {rows.line_num}: {len(row)} cells, where the first line has "
                    f"{len(columns)}."
                )
            if row:
                yield row[place]
    except csv.Error as error:
        raise InvalidInput(f"{path}, line {rows.line_num}: not a table ({error}).") from error


def _text_of(row: object, where: str) -> str:
    if not isinstance(row, dict) or "text" not in row:
        names = ", ".join(map(repr, list(row)[:20])) if isinstance(row, dict) else ""
        found = f"; its fields are {names}" if names else ""
        raise InvalidInput(f"{where}: not a JSON object with a 'text' field{found}.")
    text = row["text"]
    if not isinstance(text, str):
        raise InvalidInput(f"{where}: 'text' is not a string.")
    return text
