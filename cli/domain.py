"""A domain's own text on the command line: read from a file, and students scored on it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autodistil.errors import InvalidInput
from autodistil.evaluation.quality import Score
from autodistil.latency.device_profile import DeviceProfile
from autodistil.quiet import quiet_transformers
from autodistil.search.budget import Budget
from autodistil.selection.on_text import read_sentences, search_domain
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.entries import entries_of
from cli.output import errors, progress

if TYPE_CHECKING:
    from autodistil.selection.on_text import DomainSearch

TextFile = Annotated[
    Path | None,
    typer.Option(
        help="Your own text (.txt, .jsonl, .json, .csv or .tsv, .gz or not): the best students are "
        "scored anew on it."
    ),
]
TeacherFolder = Annotated[
    str | None,
    typer.Option(help="Folder or Hugging Face id of the SuperLM's teacher; needed with --text."),
]


def read_text(path: Path) -> list[str]:
    """The sentences of a file, in order.

    Raises:
        InvalidInput: The file cannot be read, or holds too little or too much text.
    """
    from autodistil.text.sentences import sentences
    from autodistil.text.text_files import TextFiles

    documents = TextFiles(path).documents()
    return read_sentences(sentence for doc in documents for sentence in sentences(doc.text))


def on_text(
    opened: Mapping[str, SuperLM],
    budget: Budget,
    profiles: Mapping[str, DeviceProfile],
    score: Score,
    path: Path,
    teacher: str | None,
) -> "DomainSearch":
    """Score the best students of some bundles anew on the text of a file.

    Raises:
        InvalidInput: The text cannot be used, or no teacher is named.
    """
    if teacher is None:
        raise InvalidInput("--text needs --teacher, the folder or Hugging Face id of the teacher.")
    found = read_text(path)
    with errors.status("loading the teacher"):
        from autodistil.models.teacher import load_teacher

        quiet_transformers()
        loaded = load_teacher(teacher)
    with progress() as bar:
        task = bar.add_task("scoring", total=None, note="the best students on your text")
        return search_domain(
            opened,
            entries_of(opened.values()),
            budget,
            loaded,
            found,
            profiles,
            score,
            lambda done, total: bar.update(task, completed=done, total=total),
        )
