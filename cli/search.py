"""Find the best student within a budget, in the candidate tables of bundles on disk."""

from pathlib import Path
from typing import Annotated, Any

import typer

from autodistil.errors import InvalidInput
from autodistil.evaluation.quality import Score
from autodistil.search.choice import Choice, search
from autodistil.superlm.entries import entries_of
from cli.domain import TeacherFolder, TextFile, on_text
from cli.latency_options import (
    LatencyMs,
    LimitConditions,
    ProfileFile,
    latency_limit,
    read_device,
)
from cli.options import (
    Bundles,
    Flops,
    Macs,
    Params,
    ScoreOption,
    SizeBytes,
    build_budget,
    comparison_warnings,
    open_bundles,
)
from cli.output import (
    STUDENT_COLUMNS,
    JsonOption,
    print_domain,
    print_json,
    print_table,
    print_warnings,
)
from cli.proxy import print_proxy, search_by_proxy


def command(
    bundles: Bundles = None,
    macs: Macs = None,
    flops: Flops = None,
    params: Params = None,
    size_bytes: SizeBytes = None,
    latency: LatencyMs = None,
    device: ProfileFile = None,
    conditions: LimitConditions = None,
    score: ScoreOption = Score.QUALITY,
    text: TextFile = None,
    teacher: TeacherFolder = None,
    proxy: Annotated[
        str | None,
        typer.Option(
            help="Score the students on the front within the budget on this labelled task, such as "
            "stsb-zero-shot (no fine-tuning) or sst2 (fine-tuned), and take the best."
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Data of the --proxy task, as 'evaluate' takes it.")
    ] = None,
    students: Annotated[
        int, typer.Option(help="Students that the --proxy task is tried on.", min=1)
    ] = 6,
    seeds: Annotated[int, typer.Option(help="Fine-tunings per student.", min=1)] = 1,
    epochs: Annotated[int, typer.Option(help="Epochs of a fine-tuning.")] = 2,
    learning_rate: Annotated[float, typer.Option(help="Peak rate of a fine-tuning.")] = 2e-4,
    max_examples: Annotated[
        int | None, typer.Option(help="Most training examples of a fine-tuning.")
    ] = 2000,
    scores: Annotated[
        Path, typer.Option(help="File of the --proxy scores; what it has is not run again.")
    ] = Path("proxy-scores.json"),
    json_: JsonOption = False,
) -> None:
    """Find the best student within a budget, in the candidate tables of bundles on disk.

    With --text the best students are scored anew on your own text, with --proxy on a labelled task.
    """
    if proxy is not None and text is not None:
        raise InvalidInput("Give either --text or --proxy, not both.")
    if (proxy is None) != (data is None):
        raise InvalidInput("--proxy and --data belong together.")
    profiles = read_device(device)
    limit = latency_limit(latency, next(iter(profiles), None), conditions)
    budget = build_budget(macs, flops, params, size_bytes, limit)
    opened = open_bundles(bundles)
    entries = entries_of(opened.values())
    choice = search(entries, budget, profiles, score)
    if proxy is not None and data is not None:
        recipe = {
            "epochs": epochs,
            "learning_rate": learning_rate,
            "max_examples": max_examples,
        }
        rows = search_by_proxy(
            opened, budget, profiles, score, proxy, data, students, range(seeds), recipe, scores
        )
        if json_:
            print_json({"choice": rows[0], "task": proxy, "scored": rows})
        else:
            print_proxy(proxy, rows)
        return
    domain = on_text(opened, budget, profiles, score, text, teacher) if text else None
    if domain is not None:
        choice = search(domain.entries, budget, profiles, score)
    report = choice.report()
    warnings = [*comparison_warnings(opened.values()), *choice.warnings]
    if domain is not None:
        report["domain"] = domain.receipt.model_dump(mode="json")
    if json_:
        print_json({**report, "warnings": warnings})
        return
    print_warnings(warnings)
    _print(choice, report)
    if domain is not None:
        print_domain(report["domain"])


def _print(choice: Choice, report: dict[str, Any]) -> None:
    rows = [{"": "choice", **report["choice"]}]
    rows += [{"": name, **row} for name, row in report["neighbours"].items() if row]
    left_out = ("paper_params", "paper_macs")
    columns = {name: key for name, key in STUDENT_COLUMNS.items() if key not in left_out}
    if choice.best.latency_ms is not None:
        columns["latency ms"] = "latency_ms"
    columns = {
        "": "",
        **columns,
        "quality": "quality",
        "distance": "vector_distance",
        "agreement": "neighbour_agreement",
    }
    title = (
        f"{choice.feasible} of {choice.considered} students are within the budget; "
        f"the best by {choice.score.value}"
    )
    print_table(title, rows, columns)
