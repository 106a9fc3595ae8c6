"""Score a student, or any model that transformers can load, on a task."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from autodistil.quiet import quiet_transformers
from cli.output import JsonOption, errors, print_json


class Task(StrEnum):
    """The tasks."""

    STSB = "stsb"


def command(
    student: Annotated[Path, typer.Argument(help="Folder of a model.")],
    task: Annotated[
        Task, typer.Option(help="stsb: Spearman of mean-pooled cosine, without fine-tuning.")
    ],
    data: Annotated[Path, typer.Option(help="Folder with the task's TSV files, GLUE format.")],
    split: Annotated[str, typer.Option(help="Which file of the task: train or dev.")] = "dev",
    json_: JsonOption = False,
) -> None:
    """Score a student, or any model that transformers can load, on a task."""
    from autodistil.downstream import folder_embedder, read_stsb, stsb_spearman

    pairs = read_stsb(data, split)
    quiet_transformers()
    with errors.status(f"{task.value}: {len(pairs.scores):,} pairs"):
        score = stsb_spearman(folder_embedder(student), pairs)
    if json_:
        result = {"task": task.value, "split": split, "metric": "spearman", "score": score}
        print_json({"model": str(student), **result, "examples": len(pairs.scores)})
    else:
        print(f"{task.value} {split}: Spearman {score:.4f} over {len(pairs.scores):,} pairs")
