"""The Pareto front of bundles on disk: per SuperLM and over all, as a table, JSON, or a picture."""

from pathlib import Path
from typing import Annotated

import typer

from autodistil.errors import InvalidInput
from autodistil.evaluation.quality import Score
from autodistil.latency.device_profile import DeviceProfile
from autodistil.search.budget import Budget, read_budget
from autodistil.search.choice import with_latency
from autodistil.search.entry import Entry
from autodistil.search.fronts import CostAxis, front_report
from autodistil.superlm.entries import entries_of
from cli.latency_options import LimitConditions, ProfileFile, read_conditions, read_device
from cli.options import Bundles, ScoreOption, comparison_warnings, open_bundles
from cli.output import STUDENT_COLUMNS, JsonOption, print_json, print_table, print_warnings


def command(
    bundles: Bundles = None,
    x: Annotated[CostAxis, typer.Option(help="The cost.")] = CostAxis.MACS,
    score: ScoreOption = Score.QUALITY,
    device: ProfileFile = None,
    conditions: LimitConditions = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the fronts, .png or .svg.")] = None,
    json_: JsonOption = False,
) -> None:
    """The students of bundles on disk than which none is both better and cheaper.

    A front over latency needs --device, and is that of the device's prediction.
    """
    if plot is not None:
        from autodistil.pictures import check_picture

        check_picture(plot)
    opened = open_bundles(bundles)
    entries, warnings = entries_of(opened.values()), comparison_warnings(opened.values())
    if x is CostAxis.LATENCY:
        entries = _predicted(entries, read_device(device), conditions)
    elif device is not None or conditions is not None:
        raise InvalidInput("--device and --conditions belong to --x latency.")
    report = front_report(entries, x, score)
    if plot is not None:
        from autodistil.search.front_picture import plot_fronts

        plot_fronts(entries, x, plot, score)
    if json_:
        print_json({**report, "warnings": warnings})
        return
    print_warnings(warnings)
    columns = {
        "superlm": "superlm",
        **{name: key for name, key in STUDENT_COLUMNS.items() if not name.startswith("paper")},
        **({"latency ms": "latency_ms"} if x is CostAxis.LATENCY else {}),
        "bytes": "size_bytes",
        "quality": "quality",
    }
    for name, front in report["superlms"].items():
        print_table(f"{name}: front over {x}", front, columns)
    if len(report["superlms"]) > 1:
        print_table(f"over all: front over {x}", report["overall"], columns)


def _predicted(
    entries: list[Entry], profiles: dict[str, DeviceProfile], conditions: str | None
) -> list[Entry]:
    """The same with the latencies that a device's profile predicts."""
    if not profiles:
        raise InvalidInput("--x latency needs --device, the latency profile of a device.")
    (device,) = profiles
    # Any limit will do: what counts is the conditions.
    limit = {"ms": 1, "device": device, **read_conditions(conditions)}
    budget: Budget = read_budget(latency=limit)
    return list(with_latency(entries, budget, profiles))
