"""The losses of a training, step by step: what `losses.jsonl` holds. Needs no torch."""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autodistil.errors import InvalidInput, explain

LOSSES = "losses.jsonl"
"""Name of the file, in the folder of a run and in a bundle."""

Finite = Annotated[float, Field(allow_inf_nan=False)]


class LossOfStudent(BaseModel):
    """Losses of one student at one step, by the terms of the objective."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(max_length=100)]
    losses: dict[Annotated[str, Field(max_length=30)], Finite]


class LossRow(BaseModel):
    """One step.

    Attributes:
        step: Its number, from 1.
        tokens: Tokens seen at its end.
        learning_rate: Its rate.
        students: Losses of the students that it trained.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: Annotated[int, Field(ge=1)]
    tokens: Annotated[int, Field(ge=0)]
    learning_rate: Finite
    students: tuple[LossOfStudent, ...]


def read_losses(path: Path) -> list[LossRow]:
    """Read a `losses.jsonl`.

    Raises:
        InvalidInput: It is missing or holds something else; says in which line.
    """
    rows: list[LossRow] = []
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            rows.append(LossRow.model_validate_json(line))
    except ValidationError as error:
        raise InvalidInput(f"{path}, line {len(rows) + 1}: {explain(error)}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read as losses: {error}.") from error
    return rows


def write_losses(path: Path, rows: Iterable[LossRow]) -> None:
    """Write a `losses.jsonl`."""
    path.write_text("".join(row.model_dump_json() + "\n" for row in rows), encoding="utf-8")


def thin_losses(rows: list[LossRow], most: int = 300) -> list[LossRow]:
    """At most so many rows, each the mean over a run of steps of about equal length."""
    if len(rows) <= most:
        return rows
    ends = [len(rows) * i // most for i in range(most + 1)]
    return [_mean(rows[low:high]) for low, high in pairwise(ends)]


def _mean(rows: list[LossRow]) -> LossRow:
    by_name: dict[str, list[LossOfStudent]] = {}
    for row in rows:
        for student in row.students:
            by_name.setdefault(student.name, []).append(student)
    return LossRow(
        step=rows[-1].step,
        tokens=rows[-1].tokens,
        learning_rate=rows[-1].learning_rate,
        students=tuple(
            LossOfStudent(
                name=name,
                losses={
                    term: sum(loss.losses[term] for loss in found) / len(found)
                    for term in found[0].losses
                },
            )
            for name, found in by_name.items()
        ),
    )
