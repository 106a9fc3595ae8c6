"""Train a SuperLM from a teacher and text, and write its bundle."""

import json
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from autodistil.errors import InvalidInput, explain
from autodistil.families.architecture import Architecture
from autodistil.quiet import quiet_transformers
from autodistil.search.budget import parse_amount
from autodistil.spaces.partition import partition
from autodistil.spaces.sub_space import HeadPolicy, SubSpace
from autodistil.training.loss_curve import LOSSES, LossRow, read_losses
from cli.output import JsonOption, Meter, errors, print_json, print_warnings, progress


class Device(StrEnum):
    """Where a run computes."""

    AUTO = "auto"
    CPU = "cpu"


def command(
    teacher: Annotated[str, typer.Option(help="Folder or Hugging Face id of the teacher.")],
    corpus: Annotated[
        list[str],
        typer.Option(
            help="File or folder of JSONL or text, .gz or not; dataset:PATH, parquet or arrow "
            "files; or hub:NAME[@REVISION][:CONFIG[:SPLIT]], of the Hugging Face hub. With "
            "sentences: before it, every line is a sentence as it is. Given several times, the "
            "texts are mixed; with =WEIGHT after them, by weight."
        ),
    ],
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
    max_documents: Annotated[
        int | None, typer.Option(help="Use only the first texts of the corpus.", min=2)
    ] = None,
    version: Annotated[int, typer.Option(help="Version of the SuperLM.", min=1)] = 1,
    device: Annotated[
        Device, typer.Option(help="auto: a GPU if there is one; cpu: never.")
    ] = Device.AUTO,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the tokenised text and the teacher's vectors, which trainings on the "
            "same text may share; by default that of the checkpoints."
        ),
    ] = None,
    checkpoint_seconds: Annotated[
        float, typer.Option(help="Time between two checkpoints.", min=0)
    ] = 120.0,
    threads: Annotated[int, typer.Option(help="CPU threads; 0: all.", min=0)] = 0,
    json_: JsonOption = False,
) -> None:
    """Train a SuperLM from a teacher and text, and write its bundle.

    Stopped at any time, the same command goes on from the last checkpoint. On several devices:
    `accelerate launch -m cli.main train ...`.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", out.name):
        raise InvalidInput(f"{out.name!r} cannot name a SuperLM: use a-z, 0-9, dot and hyphen.")
    chosen = _read_settings(settings, tokens)
    with errors.status("loading the teacher"):
        import dataclasses

        import torch
        from accelerate import Accelerator

        from autodistil.models.teacher import load_teacher
        from autodistil.superlm.distillation import Distillation, Progress, distil
        from autodistil.text.mixed_sources import open_corpus
        from autodistil.text.vocabulary_texts import read_texts
        from autodistil.training.loss_picture import plot_losses
        from autodistil.training.settings import EMBEDDER_DEFAULTS, TrainingSettings

        quiet_transformers()
        if threads:
            torch.set_num_threads(threads)
        source = open_corpus(corpus)
        accelerator = Accelerator(cpu=device is Device.CPU)
        loaded = load_teacher(teacher)
        defaults = EMBEDDER_DEFAULTS if loaded.embedding else {}
        try:
            run_settings = TrainingSettings.model_validate({**defaults, **chosen})
        except ValidationError as error:
            raise InvalidInput(f"The training settings: {explain(error)}.") from error
    if teacher_name:
        loaded = dataclasses.replace(loaded, name=teacher_name, named_by="--teacher-name")
    elif accelerator.is_main_process and not json_:
        print_warnings(
            [
                f"the teacher is called {loaded.name}, by {loaded.named_by}; --teacher-name gives "
                "it another name"
            ]
        )
    sub_space = _read_space(space, loaded.architecture, heads)
    work = work or out.with_name(out.name + ".work")
    cache = cache or work
    first = accelerator.is_main_process
    with progress(hidden=not first) as bar:
        reading = bar.add_task("tokenising", total=None, note="the corpus, once")
        cutting = bar.add_task("cutting", total=None, note="the teacher")
        training = bar.add_task("training", total=run_settings.tokens, note="")
        scoring = bar.add_task("scoring", total=None, note="every student on held-out text")
        with accelerator.main_process_first():  # one tokenises, the others find its arrays
            text = read_texts(
                source,
                loaded.tokenizer,
                sub_space.vocab,
                cache / "corpus",
                max_documents,
                lambda done, total: bar.update(reading, completed=done, total=total),
            )
        if corpus_name is None:
            cut = f", the first {max_documents:,} documents" if max_documents else ""
            corpus_name = source.name + cut
        meter = Meter()

        def on_step(row: LossRow) -> None:
            speed, found = meter.per_second(row.tokens), row.students[0].losses
            losses = ", ".join(f"{term} {value:.3f}" for term, value in found.items())
            note = f"{speed:,.0f} tokens/s, {losses}"
            bar.update(training, completed=row.tokens, note=note)

        bundle = distil(
            Distillation(loaded, sub_space, text, corpus_name, run_settings, out.name, version),
            work,
            out,
            accelerator=accelerator,
            vectors=cache / "vectors",
            checkpoint_seconds=checkpoint_seconds,
            progress=Progress(
                on_cut=lambda done, total: bar.update(cutting, completed=done, total=total),
                on_step=on_step,
                on_student=lambda done, total: bar.update(scoring, completed=done, total=total),
            ),
        )
    if not first:
        return
    if losses := read_losses(work / LOSSES):
        plot_losses(losses, work / "losses.png")
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
