"""What commands print: tables and progress for people, JSON for programs."""

import json
import sys
import time
from collections import deque
from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from autodistil.errors import AutoDistilError

errors = Console(stderr=True)
_console = Console(width=None if sys.stdout.isatty() else 160)
_json_asked = False


def _remember(value: bool) -> bool:
    global _json_asked
    _json_asked = value
    return value


JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON on standard output.", callback=_remember)
]


def print_json(data: object) -> None:
    """Print data as JSON."""
    print(json.dumps(data, indent=2))


def print_warnings(warnings: Iterable[str]) -> None:
    """Print warnings to stderr, where no JSON is asked for."""
    for warning in warnings:
        errors.print(f"autodistil: {warning}", soft_wrap=True)


def print_error(error: AutoDistilError) -> None:
    """Print an error on standard error: one line, or the problem object with `--json`."""
    if _json_asked:
        print(json.dumps(error.problem()), file=sys.stderr)
    else:
        print(f"autodistil: {error.detail}", file=sys.stderr)


def print_table(title: str, rows: Iterable[dict[str, Any]], columns: dict[str, str]) -> None:
    """Print rows as a table.

    Args:
        title: Above the table.
        rows: The rows.
        columns: For each column its heading and the key in the row.
    """
    table = Table(title=title, title_justify="left")
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(row.get(key)) for key in columns.values()))
    _console.print(table)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "" if value is None else str(value)


STUDENT_COLUMNS = {
    "sub-space": "sub_space",
    "layers": "layers",
    "hidden": "hidden",
    "heads": "heads",
    "width": "head_width",
    "FFN": "intermediate",
    "tokens": "vocab",
    "params": "params",
    "MACs": "macs",
    "paper params": "paper_params",
    "paper MACs": "paper_macs",
}


class Meter:
    """How fast a count grows, smoothed over the last minute or so."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque(maxlen=50)

    def per_second(self, count: int) -> float:
        """Growth per second up to this count; 0 at the first call."""
        self._points.append((time.monotonic(), count))
        (start, first), (end, last) = self._points[0], self._points[-1]
        return (last - first) / (end - start) if end > start else 0.0


def progress(hidden: bool = False) -> Progress:
    """A progress bar on standard error; silent where that is no terminal, or if `hidden`."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        console=errors,
        disable=hidden or not errors.is_terminal,
    )


def print_receipt(receipt: dict[str, Any], where: str) -> None:
    """Print what was handed over."""
    architecture, cost = receipt["architecture"], receipt["cost"]
    words = architecture.get("vocab")
    print(f"student       {where}")
    print(f"superlm       {receipt['superlm']}, of {receipt['teacher']}")
    depth = architecture["layers"]
    print(
        f"architecture  {depth} layer{'s' if depth > 1 else ''}, hidden {architecture['hidden']}, "
        f"{architecture['heads']} heads x {architecture['head_width']}, "
        f"FFN {architecture['intermediate']}"
        + (f", {words:,} tokens" if words else "")
        + ("" if receipt["stock"] else " (own model class)")
    )
    print(
        f"cost          {cost['macs']:,} MACs at {cost['sequence_length']} tokens "
        f"(paper's counting {cost['paper_macs']:,}), {cost['params']:,} params, "
        f"{cost['size_bytes']:,} bytes"
    )
    if vectors := receipt.get("sentence_vectors"):
        _print_vectors(vectors, receipt["teacher"])
    print(f"parity        {receipt['parity']['max_abs_difference']:.2g} from the SuperLM")
    if latency := receipt.get("latency"):
        _print_latency(latency)
    if receipt["domain"]:
        print_domain(receipt["domain"])
    for name, entry in receipt["files"].items():
        print(f"  {entry['sha256'][:16]}  {entry['size_bytes']:>12,}  {name}")


def _print_vectors(vectors: dict[str, Any], teacher: str) -> None:
    cosine = vectors["mean_cosine_to_teacher"]
    near = "" if cosine is None else f", mean cosine {cosine:.4f}"
    space = (
        f"in the space of {teacher}{near}" if vectors["in_teacher_space"] else "in its own space"
    )
    print(f"vectors       {vectors['width']} wide, {space}")


def print_domain(domain: dict[str, Any]) -> None:
    """Print what a domain's own text changed."""
    changed = "another student than" if domain["changed"] else "the same student as without it:"
    print(
        f"text          {domain['sentences']:,} sentences, {domain['tokens']:,} tokens; "
        f"{domain['scored']} students scored on it; {changed} {domain['without_text']}"
    )


def _print_latency(latency: dict[str, Any]) -> None:
    percentile, conditions = latency["percentile"], latency["conditions"]
    print(
        f"latency       p{percentile} at most {latency['limit_ms']:g} ms on {latency['device']}, "
        f"predicted {latency['predicted_ms']:.2f} ms"
        f"{' (extrapolated)' if latency.get('extrapolated') else ''}"
    )
    under = ", ".join(f"{key} {value}" for key, value in conditions.items())
    if measured := latency["measured"]:
        print(
            f"  measured    p50 {measured['p50_ms']:.2f} ms, p90 {measured['p90_ms']:.2f} ms, "
            f"{measured['runs']} runs; {under}"
        )
    else:
        print(f"  not measured: this machine is not the device; {under}")
    for miss in latency["missed"]:
        sizes = miss["architecture"]
        print(
            f"  missed by   {sizes['layers']} layers, hidden {sizes['hidden']}, FFN "
            f"{sizes['intermediate']}: p{percentile} {miss['measured'][f'p{percentile}_ms']:.2f} ms"
        )
