"""Extract a student from bundles on disk, by budget or by name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autodistil.errors import InvalidInput
from autodistil.evaluation.candidates import Candidate
from autodistil.evaluation.quality import Score
from autodistil.families.architecture import Architecture
from autodistil.latency.device_profile import DeviceProfile
from autodistil.output_folder import appearing, check_unused
from autodistil.quiet import quiet_transformers
from autodistil.search.budget import Budget
from autodistil.search.choice import search
from autodistil.selection.on_text import DomainSearch
from autodistil.spaces.embedding import Vectors
from autodistil.superlm.bundle import SuperLM
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
    VectorsOption,
    build_budget,
    comparison_warnings,
    open_bundles,
)
from cli.output import JsonOption, errors, print_json, print_receipt, print_warnings

if TYPE_CHECKING:
    from autodistil.extraction.receipt import Receipt


def command(
    out: Annotated[Path, typer.Option(help="Folder for the student; must be empty or missing.")],
    bundles: Bundles = None,
    macs: Macs = None,
    flops: Flops = None,
    params: Params = None,
    size_bytes: SizeBytes = None,
    latency: LatencyMs = None,
    device: ProfileFile = None,
    conditions: LimitConditions = None,
    score: ScoreOption = Score.QUALITY,
    vectors: VectorsOption = Vectors.TEACHER,
    text: TextFile = None,
    teacher: TeacherFolder = None,
    architecture: Annotated[
        str | None, typer.Option(help="This very student, such as L4-H128-A4x32-F448.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Extract a student from bundles on disk, by budget or by name.

    A student within a limit on latency is measured, if this machine is the device, before it is
    handed over.
    """
    check_unused(out)
    opened = open_bundles(bundles)
    if architecture is not None:
        if any((macs, flops, params, size_bytes, latency, device, conditions, text)):
            raise InvalidInput("Give either --architecture or a budget, not both.")
        superlm, candidate = _named(opened, Architecture.parse(architecture))
        receipt = _extract(out, lambda to, phase: _one(superlm, candidate, vectors, to, phase))
    else:
        profiles = read_device(device)
        limit = latency_limit(latency, next(iter(profiles), None), conditions)
        budget = build_budget(macs, flops, params, size_bytes, limit)
        search(entries_of(opened.values()), budget, profiles, score)  # before torch is loaded
        domain = on_text(opened, budget, profiles, score, text, teacher) if text else None
        receipt = _extract(
            out,
            lambda to, phase: _best(opened, budget, profiles, score, vectors, domain, to, phase),
        )
    if json_:
        print_json(receipt)
    else:
        if architecture is None:
            print_warnings(comparison_warnings(opened.values()))
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
    out: Path, extract: Callable[[Path, Callable[[str], None]], "Receipt"]
) -> dict[str, Any]:
    with errors.status("loading torch") as status, appearing(out) as partial:
        quiet_transformers()
        receipt = extract(partial, status.update).model_dump(mode="json")
        (partial / "receipt.json").write_text(json.dumps(receipt, indent=2) + "\n")
    return receipt


def _one(
    superlm: SuperLM,
    candidate: Candidate,
    vectors: Vectors,
    to: Path,
    on_phase: Callable[[str], None],
) -> "Receipt":
    from autodistil.extraction.handover import extract_student

    return extract_student(superlm, candidate, to, vectors=vectors, on_phase=on_phase)


def _best(
    opened: dict[str, SuperLM],
    budget: Budget,
    profiles: dict[str, DeviceProfile],
    score: Score,
    vectors: Vectors,
    domain: DomainSearch | None,
    to: Path,
    on_phase: Callable[[str], None],
) -> "Receipt":
    from autodistil.latency.machine import Machine
    from autodistil.selection.on_device import extract_best, measure_folder

    here = all(profile.machine.same_hardware(Machine.this()) for profile in profiles.values())
    measure = measure_folder if here else None
    entries = domain.entries if domain else None
    receipt = extract_best(
        opened, budget, to, profiles, measure, score, entries, vectors, on_phase=on_phase
    )
    return receipt.model_copy(update={"domain": domain.receipt if domain else None})
