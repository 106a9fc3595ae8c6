"""Score models that transformers can load on GLUE tasks, by fine-tuning or without."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from autodistil.downstream.score_table import mean_names, percent, score_text, task_names
from autodistil.errors import InvalidInput, explain
from autodistil.quiet import quiet_transformers
from cli.output import JsonOption, errors, print_json, print_table, progress

if TYPE_CHECKING:
    from autodistil.downstream.scores import ModelScores, Score, ScoredModel, ScoreFile
    from autodistil.downstream.scoring import Assignment


def command(
    models: Annotated[
        list[str], typer.Argument(help="Folders of models, or name=folder.", metavar="MODEL...")
    ],
    data: Annotated[
        str | None,
        typer.Option(help="Folder of GLUE's TSV or of JSONL files, or hub:nyu-mll/glue."),
    ] = None,
    tasks: Annotated[
        str,
        typer.Option(
            help="Of the vectors as they are: stsb-zero-shot (Spearman of cosines with people), "
            "probes (logistic regression on SST-2, CoLA, MRPC), retrieval (recall@10 of the "
            "reference's neighbours, in the model's own index and in the reference's). "
            "Fine-tuned: sst2, cola, mrpc, stsb, rte, qnli, qqp, mnli, wnli; separated by commas."
        ),
    ] = "stsb-zero-shot",
    reference: Annotated[
        str | None, typer.Option(help="Name of the model that others are a share of.")
    ] = None,
    sentences: Annotated[
        list[Path] | None,
        typer.Option(
            help="For retrieval: a file of one sentence a line, .gz or not, or a folder of such; "
            "repeatable. One sentence in 32, by its hash, is used."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Fine-tunings per model and task.", min=1)] = 3,
    epochs: Annotated[int, typer.Option(help="Most epochs.")] = 20,
    learning_rate: Annotated[float, typer.Option(help="Peak rate.")] = 2e-5,
    batch: Annotated[int, typer.Option(help="Examples per step.")] = 32,
    max_examples: Annotated[
        int | None, typer.Option(help="Most training examples, drawn by the seed.")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many epochs without a better score.")
    ] = None,
    pair_encoder: Annotated[
        str,
        typer.Option(
            help="Of tasks with two sentences: cross encodes them as one sequence; bi each by "
            "itself, as sentence embedders do."
        ),
    ] = "cross",
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    out: Annotated[
        Path | None, typer.Option(help="JSON file of all scores; what it has is not run again.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the table as Markdown.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw scores against MACs, .png or .svg.")
    ] = None,
    threads: Annotated[int, typer.Option(help="CPU threads; 0: all.", min=0)] = 0,
    json_: JsonOption = False,
) -> None:
    """Score models that transformers can load on GLUE tasks, by fine-tuning or without.

    Every score is in the --out file as soon as it is known; stopped at any time, the same command
    goes on where it was.
    """
    with errors.status("loading"):
        import torch

        from autodistil.downstream.assignments import read_assignments
        from autodistil.downstream.finetuning import Recipe
        from autodistil.downstream.score_table import markdown_table
        from autodistil.downstream.scores import ScoreFile, summarize

        if plot:
            from autodistil.pictures import check_picture

            check_picture(plot)
        quiet_transformers()
        if threads:
            torch.set_num_threads(threads)
        try:
            recipe = Recipe(
                learning_rate=learning_rate,
                batch_size=batch,
                epochs=epochs,
                patience=patience,
                max_examples=max_examples,
                pair_encoder=pair_encoder,
                precision=precision,
            )
        except ValidationError as error:
            raise InvalidInput(f"The recipe: {explain(error)}.") from error
        folders = _read_models(models)
        scored = _describe(folders, reference)
        assignments = read_assignments(
            [name.strip() for name in tasks.split(",")],
            data,
            recipe,
            sentences or (),
            next(((m, folders[m.name]) for m in scored if m.name == reference), None),
        )
        file = ScoreFile(out)
    found = list(_scores(folders, scored, assignments, range(seeds), file))
    rows = [summarize(model, (s for of, s in found if of is model)) for model in scored]
    if markdown:
        markdown.parent.mkdir(parents=True, exist_ok=True)
        markdown.write_text(markdown_table(rows))
    if plot:
        from autodistil.downstream.score_picture import plot_scores

        plot_scores(rows, plot)
    if json_:
        print_json(
            {
                "models": [row.model_dump(mode="json") for row in rows],
                "scores": [score.model_dump(mode="json") for _, score in found],
            }
        )
    else:
        _print(rows)


def _read_models(arguments: list[str]) -> dict[str, Path]:
    folders: dict[str, Path] = {}
    for argument in arguments:
        name, equals, folder = argument.partition("=")
        if not equals or Path(argument).is_dir():
            name, folder = Path(argument).name, argument
        if name in folders:
            raise InvalidInput(f"Two models are called {name!r}: name them, as in name=folder.")
        folders[name] = Path(folder)
    return folders


def _describe(folders: dict[str, Path], reference: str | None) -> "list[ScoredModel]":
    from autodistil.downstream.scored_folder import describe_model
    from autodistil.downstream.scores import Role

    if reference is not None and reference not in folders:
        raise InvalidInput(f"--reference {reference}: the models are {', '.join(folders)}.")
    scored = []
    for name, folder in folders.items():
        # A receipt comes with every student of a SuperLM, and with nothing else.
        role = Role.STUDENT if (folder / "receipt.json").is_file() else Role.BASELINE
        scored.append(describe_model(name, folder, Role.REFERENCE if name == reference else role))
    return scored


def _scores(
    folders: dict[str, Path],
    scored: "list[ScoredModel]",
    assignments: "list[Assignment]",
    seeds: range,
    file: "ScoreFile",
) -> "Iterator[tuple[ScoredModel, Score]]":
    """Every score, from the file or else computed and written there."""
    runs = [
        (model, assignment, seed)
        for model in scored
        for assignment in assignments
        for seed in (seeds if assignment.seeded else [None])
    ]
    with progress() as bar:
        whole = bar.add_task("scores", total=len(runs), note="")
        steps = bar.add_task("steps", total=None, note="")

        def on_step(step: int, total: int) -> None:
            bar.update(steps, completed=step, total=total)

        for model, assignment, seed in runs:
            score = file.find(model.sha256, assignment.name, seed, assignment.settings)
            if score is None and not assignment.applies(model, folders[model.name]):
                bar.advance(whole)
                continue
            if score is None:
                note = f"{model.name} {assignment.name}" + ("" if seed is None else f" seed {seed}")
                bar.reset(steps, total=None)
                bar.update(whole, note=note)
                score = assignment.score(model, folders[model.name], seed, on_step)
                file.add(score)
            bar.advance(whole)
            yield model, score


def _print(rows: "list[ModelScores]") -> None:
    tasks, means = task_names(rows), mean_names(rows)
    columns = {"model": "name", "MACs": "macs", "params": "params"}
    columns |= {name: name for name in (*tasks, *means)}
    cells = []
    for row in rows:
        scores = {task: score_text(row.tasks.get(task)) for task in tasks}
        scores |= {name: percent(row.value(name)) for name in means}
        cells.append({**row.model.model_dump(), **scores})
    print_table("Scores x 100, mean and standard deviation over seeds", cells, columns)
