"""Scores as they are found, one line each, so that a killed evaluation loses none of them.

The first line names what is evaluated; a file about something else is started anew. A line that a
kill cut off is dropped with what follows it.
"""

import json
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from autodistil.errors import InvalidInput
from autodistil.evaluation.signals import Signals


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    student: str
    batch: int
    signals: Signals


class ScoreLog:
    """The scores of one evaluation. One process may write it; use it as a context manager.

    Args:
        path: The file; None keeps the scores in memory alone.
        identity: What the scores depend on, as a hash.

    Raises:
        InvalidInput: The file cannot be written.
    """

    def __init__(self, path: Path | None, identity: str) -> None:
        self._scores: dict[tuple[str, int], Signals] = {}
        self._file = None
        if path is None:
            return
        header = json.dumps({"scores_of": identity}).encode() + b"\n"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            whole = self._read(path.read_bytes() if path.is_file() else b"", header)
            self._file = path.open("r+b" if whole else "wb")
        except OSError as error:
            raise InvalidInput(f"{path} cannot be written: {error.strerror}.") from error
        self._file.truncate(whole)
        self._file.seek(whole)
        if not whole:
            self._file.write(header)

    def _read(self, content: bytes, header: bytes) -> int:
        """Read the whole lines of a file that begins with the header; returns where they end."""
        if not content.startswith(header):
            return 0
        end = len(header)
        while (line_end := content.find(b"\n", end) + 1) > 0:
            try:
                row = _Row.model_validate_json(content[end:line_end])
            except ValidationError:
                break
            self._scores[row.student, row.batch] = row.signals
            end = line_end
        return end

    def __enter__(self) -> Self:
        """Use as a context manager to close the file."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def get(self, student: str, batch: int) -> Signals | None:
        """The score of a student on a batch, if it is known."""
        return self._scores.get((student, batch))

    def add(self, student: str, batch: int, signals: Signals) -> None:
        """Keep a score; it outlives the process from now on."""
        self._scores[student, batch] = signals
        if self._file is not None:
            row = _Row(student=student, batch=batch, signals=signals)
            self._file.write(row.model_dump_json().encode() + b"\n")
            self._file.flush()
