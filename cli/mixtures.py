"""Per-layer mixtures: search those that beat the students of a SuperLM, and extract one."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from autodistil.errors import InvalidInput, explain
from autodistil.mixtures.report import (
    MixtureReport,
    MixtureSettings,
    ProposedMixture,
    read_report,
    write_report,
)
from autodistil.mixtures.search import check_pymoo
from autodistil.output_folder import appearing, check_unused
from autodistil.quiet import quiet_transformers
from autodistil.spaces.mixture import Mixture
from autodistil.superlm.bundle import WEIGHTS, SuperLM, open_superlm
from cli.options import (
    Bundles,
    Flops,
    Macs,
    Params,
    SizeBytes,
    build_budget,
    open_bundles,
)
from cli.output import JsonOption, errors, print_json, print_table, progress

if TYPE_CHECKING:
    from autodistil.mixtures.extraction import MixtureReceipt
    from autodistil.search.budget import Budget

app = typer.Typer(
    help="Students whose layers differ in heads and FFN width: search them, extract one.",
    no_args_is_help=True,
)

_DEFAULTS = MixtureSettings()


@app.command("search")
def search(
    bundle: Annotated[Path, typer.Argument(help="The SuperLM's bundle.")],
    teacher: Annotated[str, typer.Option(help="Folder or Hugging Face id of its teacher.")],
    corpus: Annotated[
        list[str],
        typer.Option(help="Text, as for 'autodistil train'; the held-out hundredth of it is used."),
    ],
    out: Annotated[Path, typer.Option(help="JSON file for the report.")],
    evaluations: Annotated[int, typer.Option(help="Mixtures to measure.")] = _DEFAULTS.evaluations,
    population: Annotated[
        int, typer.Option(help="Mixtures of a generation.")
    ] = _DEFAULTS.population,
    seed: Annotated[int, typer.Option(help="Of the search.")] = _DEFAULTS.seed,
    selection_rounds: Annotated[
        int, typer.Option(help="Rounds of three batches that the search sees.")
    ] = _DEFAULTS.selection_rounds,
    confirmation_rounds: Annotated[
        int, typer.Option(help="Rounds of three batches of other text that judge its proposals.")
    ] = _DEFAULTS.confirmation_rounds,
    proposals: Annotated[
        int, typer.Option(help="Most mixtures to judge; fewer are judged with more certainty.")
    ] = _DEFAULTS.proposals,
    work: Annotated[
        Path | None,
        typer.Option(help="Folder of all that was measured; what it has is not measured again."),
    ] = None,
    max_documents: Annotated[
        int | None, typer.Option(help="Use only the first texts of the corpus.", min=2)
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the fronts, .png or .svg.")] = None,
    threads: Annotated[int, typer.Option(help="CPU threads; 0: all.", min=0)] = 0,
    json_: JsonOption = False,
) -> None:
    """Search mixtures better than the students of a SuperLM, and judge them on other text.

    Everything measured is kept in the work folder at once; stopped at any time, the same command
    goes on where it was. Needs pip install 'autodistil[mixtures]'.
    """
    try:
        settings = MixtureSettings(
            evaluations=evaluations,
            population=population,
            seed=seed,
            selection_rounds=selection_rounds,
            confirmation_rounds=confirmation_rounds,
            proposals=proposals,
        )
    except ValidationError as error:
        raise InvalidInput(f"The settings: {explain(error)}.") from error
    if out.is_dir():
        raise InvalidInput(f"{out} is a folder; name a file for the report.")
    check_pymoo()
    superlm = open_superlm(bundle)
    work = work or out.with_name(out.name + ".work")
    with errors.status("loading the teacher"):
        import torch

        from autodistil.mixtures.run import PHASES, find_mixtures
        from autodistil.models.teacher import load_teacher
        from autodistil.text.corpus import tokenize_corpus
        from autodistil.text.mixed_sources import open_corpus

        if plot:
            from autodistil.pictures import check_picture

            check_picture(plot)
        quiet_transformers()
        if threads:
            torch.set_num_threads(threads)
        source, loaded = open_corpus(corpus), load_teacher(teacher)
    with progress() as bar:
        reading = bar.add_task("tokenising", total=None, note="the corpus, once")
        notes = ("of the sub-space", "mixtures", "on other text, batch by batch")
        tasks = {
            phase: bar.add_task(phase, total=None, note=note)
            for phase, note in zip(PHASES, notes, strict=True)
        }
        text = tokenize_corpus(
            source,
            loaded.tokenizer,
            work / "corpus",
            max_documents,
            lambda done, total: bar.update(reading, completed=done, total=total),
        )
        report = find_mixtures(
            superlm,
            loaded,
            text,
            settings,
            work,
            lambda phase, done, total: bar.update(tasks[phase], completed=done, total=total),
        )
    write_report(report, out)
    if plot:
        from autodistil.mixtures.picture import plot_mixtures

        plot_mixtures(report, plot)
    if json_:
        print_json(report.model_dump(mode="json"))
    else:
        _print_report(report)


def _print_report(report: MixtureReport) -> None:
    rows = [
        {
            "mixture": row.mixture.name,
            "macs": row.cost.macs,
            "params": row.cost.params,
            "agreement": row.agreement,
            "gain": f"{row.gain.mean:+.4f} ({row.gain.low:+.4f} to {row.gain.high:+.4f})",
            "rival": row.rival,
            "saved": "-" if row.macs_saved is None else f"{row.macs_saved:.0%}",
        }
        for row in report.held
    ]
    columns = {"mixture": "mixture", "MACs": "macs", "params": "params", "agreement": "agreement"}
    columns |= {"gain": "gain", "over the student": "rival", "MACs saved": "saved"}
    proposed = len(report.held) + len(report.dropped)
    print_table(
        f"{len(report.held)} of {proposed} proposed mixtures held on other text; "
        f"{report.evaluated:,} of {report.space_size:,} were measured",
        rows,
        columns,
    )
    gain = report.gain
    print(
        "agreement gained over all budgets of MACs: "
        f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"
    )


@app.command("extract")
def extract(
    report: Annotated[Path, typer.Argument(help="The report of 'autodistil mixtures search'.")],
    out: Annotated[Path, typer.Option(help="Folder for the mixture; must be empty or missing.")],
    bundles: Bundles = None,
    macs: Macs = None,
    flops: Flops = None,
    params: Params = None,
    size_bytes: SizeBytes = None,
    mixture: Annotated[
        str | None, typer.Option(help="This very mixture, such as L2-H128-A4.3x32-F320.256.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Extract a mixture that held, by budget; or any mixture by name."""
    check_unused(out)
    found = read_report(report)
    superlm = _owner(found, open_bundles(bundles))
    budget = None
    if mixture is not None:
        if any((macs, flops, params, size_bytes)):
            raise InvalidInput("Give either --mixture or a budget, not both.")
        chosen = Mixture.parse(mixture)
        judged = {row.mixture: row for row in (*found.held, *found.dropped)}
        judgement = judged.get(chosen)
    else:
        from autodistil.mixtures.choice import choose_mixture

        budget = build_budget(macs, flops, params, size_bytes)
        judgement = choose_mixture(found, superlm.spec, budget)
        chosen = judgement.mixture
    receipt = _extract(superlm, chosen, out, judgement, budget)
    if json_:
        print_json(receipt.model_dump(mode="json"))
    else:
        _print_receipt(receipt, out)


def _owner(report: MixtureReport, opened: dict[str, SuperLM]) -> SuperLM:
    for superlm in opened.values():
        if superlm.spec.files[WEIGHTS].sha256 == report.weights_sha256:
            return superlm
    raise InvalidInput(
        f"The report is about {report.superlm} with weights of the sha256 {report.weights_sha256}, "
        f"and so about none of {', '.join(opened) or 'no bundle'}; name its bundle."
    )


def _extract(
    superlm: SuperLM,
    mixture: Mixture,
    out: Path,
    judgement: ProposedMixture | None,
    budget: "Budget | None",
) -> "MixtureReceipt":
    with errors.status("loading torch") as status, appearing(out) as partial:
        from autodistil.mixtures.extraction import extract_mixture

        quiet_transformers()
        receipt = extract_mixture(
            superlm, mixture, partial, judgement, budget, lambda phase: status.update(phase)
        )
        content = json.dumps(receipt.model_dump(mode="json"), indent=2)
        (partial / "receipt.json").write_text(content + "\n")
    return receipt


def _print_receipt(receipt: "MixtureReceipt", out: Path) -> None:
    cost, size = receipt.cost, receipt.files["model.safetensors"].size_bytes
    print(f"mixture       {receipt.mixture.name}" + ("" if receipt.stock else " (own model class)"))
    print(f"folder        {out}")
    print(f"superlm       {receipt.superlm}, of {receipt.teacher}")
    print(
        f"cost          {cost.macs:,} MACs at {cost.sequence_length} tokens "
        f"(paper's counting {cost.paper_macs:,}), {cost.params:,} params, {size:,} bytes"
    )
    if judged := receipt.judgement:
        print(
            f"agreement     {judged.agreement:.4f}, {judged.gain.mean:+.4f} "
            f"({judged.gain.low:+.4f} to {judged.gain.high:+.4f}) against {judged.rival}"
        )
    print(f"parity        {receipt.parity.max_abs_difference:.2g} from the SuperLM")
