"""From the names of tasks to the assignments that models are scored on."""

from collections.abc import Sequence
from pathlib import Path

from autodistil.downstream.finetuning import Recipe
from autodistil.downstream.probes import PROBED
from autodistil.downstream.remembering import Embedders
from autodistil.downstream.scores import PROBE, ScoredModel
from autodistil.downstream.scoring import Assignment, Finetuning, Splits
from autodistil.downstream.task_data import read_stsb
from autodistil.downstream.tasks import TASKS
from autodistil.downstream.vector_scoring import (
    RETRIEVAL,
    RETRIEVED_SENTENCES,
    TEACHERS_INDEX,
    ZERO_SHOT,
    Probe,
    Retrieval,
    RetrievalText,
    ZeroShot,
)
from autodistil.errors import InvalidInput
from autodistil.text.held_out import held_out_sentences

PROBES = "probes"
"""All probes."""
_GROUPS = {PROBES: [PROBE + task for task in PROBED], RETRIEVAL: [RETRIEVAL, TEACHERS_INDEX]}


def read_assignment(name: str, data: str | Path, recipe: Recipe) -> Assignment:
    """Read the data of a task for which one model is enough.

    Args:
        name: Name of a task of GLUE, `ZERO_SHOT`, or a probe.
        data: Where its data is, see `autodistil.downstream.task_data.read_examples`.
        recipe: How models are fine-tuned.

    Raises:
        InvalidInput: There is no such task, or no usable data of it.
    """
    return _read_assignment(name, data, recipe, Embedders())


def read_assignments(
    names: Sequence[str],
    data: str | Path | None,
    recipe: Recipe,
    sentences: Sequence[Path] = (),
    reference: tuple[ScoredModel, Path] | None = None,
) -> list[Assignment]:
    """Read the data of tasks.

    Args:
        names: Names as of `read_assignment`, `PROBES` for all probes, and `RETRIEVAL`.
        data: Where the data of GLUE's tasks is; None: there is none.
        recipe: How models are fine-tuned.
        sentences: Files of one sentence a line, of which retrieval takes the held-out ones.
        reference: The model whose neighbours retrieval looks for, and its folder.

    Raises:
        InvalidInput: There is no such task, or not what it needs.
    """
    embedders = Embedders(reference[0].sha256 if reference else None)
    text: RetrievalText | None = None
    assignments: list[Assignment] = []
    for name in dict.fromkeys(one for given in names for one in _GROUPS.get(given, [given])):
        if name in (RETRIEVAL, TEACHERS_INDEX):
            text = text or _read_text(sentences, reference, embedders)
            assignments.append(Retrieval(text, teachers_index=name == TEACHERS_INDEX))
        else:
            assignments.append(_read_assignment(name, data, recipe, embedders))
    return assignments


def _read_assignment(
    name: str, data: str | Path | None, recipe: Recipe, embedders: Embedders
) -> Assignment:
    probed = name.removeprefix(PROBE) if name.startswith(PROBE) else None
    if name not in (ZERO_SHOT, *TASKS) and probed not in PROBED:
        known = ", ".join((ZERO_SHOT, PROBES, RETRIEVAL, *TASKS))
        raise InvalidInput(f"{name!r} is no task here; the tasks are {known}.")
    if data is None:
        raise InvalidInput(f"{name} needs data: name the folder of GLUE's files with --data.")
    if name == ZERO_SHOT:
        return ZeroShot(read_stsb(data), embedders)
    if probed is not None:
        return Probe(probed, Splits.read(probed, data), embedders)
    return Finetuning(name, Splits.read(name, data), recipe)


def _read_text(
    sentences: Sequence[Path], reference: tuple[ScoredModel, Path] | None, embedders: Embedders
) -> RetrievalText:
    if reference is None:
        raise InvalidInput(
            f"{RETRIEVAL} looks for the neighbours that a teacher finds: name it with --reference."
        )
    if not sentences:
        raise InvalidInput(
            f"{RETRIEVAL} needs sentences: name files of one sentence a line with --sentences."
        )
    return RetrievalText(held_out_sentences(sentences, RETRIEVED_SENTENCES), *reference, embedders)
