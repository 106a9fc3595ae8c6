"""Propose sub-spaces for a teacher, from a measurement of its own."""

from pathlib import Path
from typing import Annotated, Any

import typer

from autodistil.errors import InvalidInput
from autodistil.quiet import quiet_transformers
from cli.output import JsonOption, errors, print_json, print_table, progress

_COLUMNS = {
    "sub-space": "sub_space",
    "student": "student",
    "MACs": "macs",
    "params": "params",
    "agreement": "agreement",
    "front": "on_front",
}
_BATCHES = 4
_MAX_DOCUMENTS = 5_000


def command(
    teacher: Annotated[str, typer.Option(help="Folder or Hugging Face id of the teacher.")],
    corpus: Annotated[list[str], typer.Option(help="Text, as of 'autodistil train'.")],
    out: Annotated[Path, typer.Option(help="Folder for a JSON file of each sub-space.")],
    vocab: Annotated[
        str,
        typer.Option(help="Vocabularies that students may have, such as 8000,12000,20000."),
    ] = "",
    threads: Annotated[int, typer.Option(help="CPU threads; 0: all.", min=0)] = 0,
    json_: JsonOption = False,
) -> None:
    """Propose sub-spaces for a teacher, from a measurement of its own.

    A coarse grid of students, as wide as the teacher and narrower, is cut and compared with it on
    some thousand tokens. The files that it writes are what 'autodistil train --space' takes.
    """
    sizes = _read_vocab(vocab)
    with errors.status("loading the teacher"):
        import tempfile

        import torch

        from autodistil.models.teacher import load_teacher
        from autodistil.text.corpus import tokenize_corpus
        from autodistil.text.mixed_sources import open_corpus
        from autodistil.training.proposal import propose_spaces
        from autodistil.training.start import calibration_batches

        quiet_transformers()
        if threads:
            torch.set_num_threads(threads)
        loaded = load_teacher(teacher)
    with progress() as bar, tempfile.TemporaryDirectory() as cache:
        reading = bar.add_task("tokenising", total=None, note=f"{_MAX_DOCUMENTS:,} texts at most")
        measuring = bar.add_task("measuring", total=None, note="students as they are cut")
        text = tokenize_corpus(
            open_corpus(corpus),
            loaded.tokenizer,
            Path(cache),
            _MAX_DOCUMENTS,
            lambda done, total: bar.update(reading, completed=done, total=total),
        )
        found = propose_spaces(
            loaded,
            calibration_batches(text.train, 0, _BATCHES),
            sizes,
            lambda done, total: bar.update(measuring, completed=done, total=total),
        )
    out.mkdir(parents=True, exist_ok=True)
    for space in found.spaces:
        path = out / f"{space.name}.space.json"
        path.write_text(space.model_dump_json(exclude_defaults=True, indent=1) + "\n")
    rows: list[dict[str, Any]] = [
        {
            "sub_space": row.sub_space,
            "student": row.architecture.name,
            "macs": row.cost.macs,
            "params": row.cost.params,
            "agreement": round(row.agreement, 4),
            "on_front": row.on_front,
        }
        for row in found.measured
    ]
    if json_:
        spaces = [space.model_dump(mode="json") for space in found.spaces]
        print_json({"spaces": spaces, "measured": rows})
        return
    shown = [row | {"on_front": "yes" if row["on_front"] else ""} for row in rows]
    print_table(f"{len(rows)} untrained students, and how near they are", shown, _COLUMNS)
    for space in found.spaces:
        print(f"{out / f'{space.name}.space.json'}: {space.size} students")


def _read_vocab(vocab: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in vocab.split(",") if part.strip())
    except ValueError as error:
        raise InvalidInput(
            f"--vocab {vocab}: write numbers of tokens with commas between them, such as "
            "8000,12000,20000."
        ) from error
    if any(size < 1 for size in sizes):
        raise InvalidInput(f"--vocab {vocab}: a vocabulary has at least one token.")
    return tuple(sorted(set(sizes)))
