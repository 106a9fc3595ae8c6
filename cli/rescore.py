"""Score the students of a bundle anew, on text of your choice."""

import math
from pathlib import Path
from typing import Annotated

import typer

from autodistil.evaluation.quality import Score
from autodistil.output_folder import check_unused
from autodistil.quiet import quiet_transformers
from autodistil.superlm.bundle import open_superlm
from cli.output import JsonOption, errors, print_json, progress


def command(
    bundle: Annotated[Path, typer.Argument(help="The SuperLM bundle.")],
    teacher: Annotated[str, typer.Option(help="Folder or Hugging Face id of its teacher.")],
    corpus: Annotated[
        list[str],
        typer.Option(
            help="Text, as 'train' takes it; one document in a hundred is scored on, of a small "
            "corpus the last one."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the new bundle; must be missing.")],
    version: Annotated[
        int | None, typer.Option(help="Its version; by default one more than now.", min=1)
    ] = None,
    work: Annotated[
        Path | None, typer.Option(help="Folder of unfinished work, which is resumed.")
    ] = None,
    threads: Annotated[int, typer.Option(help="CPU threads; 0: all.", min=0)] = 0,
    json_: JsonOption = False,
) -> None:
    """Score the students of a bundle anew, on text of your choice, and write a new bundle.

    Stopped at any time, the same command goes on where it was.
    """
    check_unused(out)
    work = work or out.with_name(out.name + ".work")
    superlm = open_superlm(bundle)
    with errors.status("loading the teacher"):
        import torch

        from autodistil.models.teacher import load_teacher
        from autodistil.superlm.rescoring import read_held_out, rescore
        from autodistil.text.mixed_sources import open_corpus

        quiet_transformers()
        if threads:
            torch.set_num_threads(threads)
        source = open_corpus(corpus)
        loaded = load_teacher(teacher)
    with progress() as bar:
        reading = bar.add_task("tokenising", total=None, note="the corpus, once")
        scoring = bar.add_task("scoring", total=None, note="every student on held-out text")
        text = read_held_out(
            superlm,
            loaded,
            source,
            work / "corpus",
            lambda done, total: bar.update(reading, completed=done, total=total),
        )
        written = rescore(
            superlm,
            loaded,
            text,
            superlm.spec.version + 1 if version is None else version,
            work,
            out,
            lambda done, total: bar.update(scoring, completed=done, total=total),
        )
    best = max(written.candidates, key=lambda c: c.score(Score.QUALITY) or -math.inf)
    if json_:
        print_json({"superlm": written.spec.reference, "best": best.model_dump(mode="json")})
    else:
        print(
            f"{written.spec.reference}: {len(written.candidates)} students scored, {out}; the best "
            f"is {best.architecture.name} with a quality of {best.quality:.4f}"
        )
