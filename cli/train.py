"""Train a SuperLM from a teacher and text, and write its bundle."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from autodistil.architecture import Architecture, HeadPolicy, SubSpace, partition
from autodistil.budget import parse_amount
from autodistil.errors import InvalidInput, explain
from autodistil.quiet import quiet_transformers
from cli.output import JsonOption, errors, print_json, progress

if TYPE_CHECKING:
    from autodistil.training import StepReport


def command(
    teacher: Annotated[str, typer.Option(help="Folder or Hugging Face id of the teacher.")],
    corpus: Annotated[Path, typer.Option(help="File or folder of JSONL or text, .gz or not.")],
    out: Annotated[Path, typer.Option(help="Folder of the bundle; its last part is its name.")],
    space: Annotated[
        str, typer.Option(help="tiny, small or base of the paper's partition, or a JSON file.")
    ] = "tiny",
    heads: Annotated[
        HeadPolicy, typer.Option(help="stock: plain BERT students; teacher: as in the paper.")
    ] = HeadPolicy.STOCK,
    tokens: Annotated[str, typer.Option(help="Tokens to see, such as 5M; 0 cuts only.")] = "5M",
    work: Annotated[
        Path | None, typer.Option(help="Folder of checkpoints; an unfinished run is resumed.")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(help="JSON file with further training settings.")
    ] = None,
    teacher_name: Annotated[
        str | None, typer.Option(help="What the teacher is called in requests.")
    ] = None,
    corpus_name: Annotated[
        str | None, typer.Option(help="What the text is, for the provenance.")
    ] = None,
    version: Annotated[int, typer.Option(help="Version of the SuperLM.", min=1)] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
    checkpoint_seconds: Annotated[
        float, typer.Option(help="Time between two checkpoints.", min=0)
    ] = 120.0,
    threads: Annotated[int, typer.Option(help="CPU threads; 0: all.", min=0)] = 0,
    json_: JsonOption = False,
) -> None:
    """Train a SuperLM from a teacher and text, and write its bundle.

    Stopped at any time, the same command goes on from the last checkpoint.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", out.name):
        raise InvalidInput(f"{out.name!r} cannot name a SuperLM: use a-z, 0-9, dot and hyphen.")
    chosen = _read_settings(settings, tokens)
    with errors.status("loading the teacher"):
        import dataclasses

        import torch

        from autodistil.corpus import tokenize_corpus
        from autodistil.distillation import Progress, distil
        from autodistil.teacher import load_teacher
        from autodistil.training_settings import TrainingSettings

        quiet_transformers()
        if threads:
            torch.set_num_threads(threads)
        try:
            run_settings = TrainingSettings.model_validate(chosen)
        except ValidationError as error:
            raise InvalidInput(f"The training settings: {explain(error)}.") from error
        loaded = load_teacher(teacher)
    loaded = dataclasses.replace(loaded, name=teacher_name or loaded.name)
    sub_space = _read_space(space, loaded.architecture, heads)
    work = work or out.with_name(out.name + ".work")
    with errors.status("tokenising the corpus (once)"):
        text = tokenize_corpus(corpus, loaded.tokenizer, work / "corpus")
    with progress() as bar:
        training = bar.add_task("training", total=run_settings.tokens, note="")
        scoring = bar.add_task("scoring", total=None, note="every student on held-out text")

        def on_step(report: "StepReport") -> None:
            largest = report.losses[0]
            note = f"loss {largest.relation:.3f} + {largest.similarity:.3f}"
            bar.update(training, completed=report.tokens, note=note)

        bundle = distil(
            loaded,
            sub_space,
            text,
            corpus_name or corpus.name,
            run_settings,
            out.name,
            work,
            out,
            device=device,
            version=version,
            checkpoint_seconds=checkpoint_seconds,
            progress=Progress(
                on_step, lambda done, total: bar.update(scoring, completed=done, total=total)
            ),
        )
    if json_:
        print_json(json.loads(bundle.spec.model_dump_json()))
    else:
        seen = bundle.spec.provenance.tokens_seen
        print(f"{bundle.spec.reference}: {len(bundle.candidates)} students, {seen:,} tokens, {out}")


def _read_settings(path: Path | None, tokens: str) -> dict[str, object]:
    try:
        chosen = json.loads(path.read_text()) if path else {}
        if not isinstance(chosen, dict):
            raise ValueError("not a JSON object")
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read as settings: {error}.") from error
    try:
        amount = 0 if tokens.strip() == "0" else parse_amount(tokens)
        if isinstance(amount, str):
            raise ValueError("a share of what?")
    except ValueError as error:
        raise InvalidInput(f"--tokens {tokens}: {error}.") from error
    return {**chosen, "tokens": amount}


def _read_space(space: str, teacher: Architecture, heads: HeadPolicy) -> SubSpace:
    found = {candidate.name: candidate for candidate in partition(teacher, 3, heads)}
    if space in found:
        return found[space]
    try:
        return SubSpace.model_validate_json(Path(space).read_text())
    except OSError as error:
        raise InvalidInput(f"--space {space}: neither {', '.join(found)} nor a file.") from error
    except ValidationError as error:
        raise InvalidInput(f"{space}: {explain(error)}.") from error
