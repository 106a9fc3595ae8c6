"""List the students of a preset's or a teacher's sub-spaces with their costs."""

import json
from pathlib import Path
from typing import Annotated

import typer

from autodistil.errors import InvalidInput
from autodistil.evaluation.candidates import Candidate
from autodistil.evaluation.signals import Signals
from autodistil.families.architecture import Architecture
from autodistil.families.encoder import EncoderConfig
from autodistil.families.registry import read_encoder
from autodistil.spaces.cost import cost
from autodistil.spaces.partition import BERT_BASE, BERT_BASE_ENCODER, PRESETS, partition
from autodistil.spaces.sub_space import HeadPolicy, SubSpace
from cli.output import STUDENT_COLUMNS, JsonOption, print_json, print_table


def command(
    preset: Annotated[
        str | None, typer.Option(help=f"One of the paper's: {', '.join(PRESETS)}.")
    ] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="Folder of a teacher, or its config.json.")
    ] = None,
    k: Annotated[int, typer.Option(help="Number of sub-spaces of a teacher.")] = 3,
    heads: Annotated[
        HeadPolicy, typer.Option(help="Head policy of a teacher's students.")
    ] = HeadPolicy.STOCK,
    json_: JsonOption = False,
) -> None:
    """List the students of a preset's or a teacher's sub-spaces with their costs."""
    spaces, sizes, encoder = _resolve(preset, teacher, k, heads)
    rows = [
        Candidate.build(student, space.name, cost(student, encoder, sizes.heads)).model_dump(
            mode="json", exclude={"quality", *Signals.model_fields}
        )
        for space in spaces
        for student in space.students()
    ]
    if json_:
        print_json(rows)
    else:
        print_table(f"{len(rows)} students in {len(spaces)} sub-spaces", rows, STUDENT_COLUMNS)


def _resolve(
    preset: str | None, teacher: Path | None, k: int, heads: HeadPolicy
) -> tuple[list[SubSpace], Architecture, EncoderConfig]:
    if (preset is None) == (teacher is None):
        raise InvalidInput("Name either --preset or --teacher.")
    if preset is not None:
        if preset not in PRESETS:
            raise InvalidInput(f"There is no preset {preset!r}; there is {', '.join(PRESETS)}.")
        return PRESETS[preset], BERT_BASE, BERT_BASE_ENCODER
    assert teacher is not None  # noqa: S101 -- one of the two, see above
    path = teacher / "config.json" if teacher.is_dir() else teacher
    try:
        config = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read as a model's config: {error}.") from error
    if not isinstance(config, dict):
        raise InvalidInput(f"{path} is no model's config.")
    sizes, encoder = read_encoder(config)
    return partition(sizes, k, heads), sizes, encoder
