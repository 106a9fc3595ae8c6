"""Extract a student from bundles on disk, by budget or by name."""

import json
from pathlib import Path
from typing import Annotated

import typer

from autodistil.architecture import Architecture
from autodistil.budget import Budget
from autodistil.candidates import Candidate
from autodistil.errors import InvalidInput
from autodistil.output_folder import appearing, check_unused
from autodistil.quiet import quiet_transformers
from autodistil.search import entries_of, search
from autodistil.superlm import SuperLM
from cli.options import (
    Bundles,
    Flops,
    Macs,
    Params,
    SizeBytes,
    build_budget,
    open_bundles,
)
from cli.output import JsonOption, errors, print_json, print_receipt


def command(
    out: Annotated[Path, typer.Option(help="Folder for the student; must be empty or missing.")],
    bundles: Bundles = None,
    macs: Macs = None,
    flops: Flops = None,
    params: Params = None,
    size_bytes: SizeBytes = None,
    architecture: Annotated[
        str | None, typer.Option(help="This very student, such as L4-H128-A4x32-F448.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Extract a student from bundles on disk, by budget or by name."""
    check_unused(out)
    opened = open_bundles(bundles)
    budget, limits = None, {}
    if architecture is not None:
        if any((macs, flops, params, size_bytes)):
            raise InvalidInput("Give either --architecture or a budget, not both.")
        superlm, candidate = _named(opened, Architecture.parse(architecture))
    else:
        budget = build_budget(macs, flops, params, size_bytes)
        choice = search(entries_of(opened.values()), budget)
        superlm, candidate, limits = (
            opened[choice.best.superlm],
            choice.best.candidate,
            choice.limits,
        )
    receipt = _extract(superlm, candidate, out, budget, limits)
    if json_:
        print_json(receipt)
    else:
        print_receipt(receipt, str(out))


def _named(opened: dict[str, SuperLM], architecture: Architecture) -> tuple[SuperLM, Candidate]:
    for superlm in opened.values():
        for candidate in superlm.candidates:
            if candidate.architecture == architecture:
                return superlm, candidate
    raise InvalidInput(
        f"{architecture.name} is not a student of {', '.join(opened) or 'any bundle'}; "
        "'autodistil search' lists some."
    )


def _extract(
    superlm: SuperLM,
    candidate: Candidate,
    out: Path,
    budget: Budget | None,
    limits: dict[str, int],
) -> dict[str, object]:
    with errors.status("loading torch") as status, appearing(out) as partial:
        from autodistil.extraction import extract_student

        quiet_transformers()
        receipt = extract_student(
            superlm, candidate, partial, budget, limits, lambda phase: status.update(phase)
        ).model_dump(mode="json")
        (partial / "receipt.json").write_text(json.dumps(receipt, indent=2) + "\n")
    return receipt
