"""Times what a user waits for: a plan, an extraction, a whole request over HTTP and the broker.

Run by `make bench`; starts its own stack, prints a Markdown table.
"""

import datetime
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from autodistil.extraction.extraction import extract_student
from autodistil.quiet import quiet_transformers
from autodistil.search.budget import Budget
from autodistil.search.search import search
from autodistil.superlm.bundle import open_superlm
from autodistil.superlm.entries import entries_of
from client import Client
from models_store import shipped_bundles

RUNS = 20
BUDGET = {"macs": 60_000_000}


def main() -> None:
    """Print the table."""
    quiet_transformers()
    bundles = [open_superlm(path) for path in shipped_bundles()]
    entries = entries_of(bundles)
    budget = Budget(macs=BUDGET["macs"])
    print("| what | p50 ms | p90 ms | runs |\n|---|---|---|---|")
    report(f"search over {len(entries)} candidates", lambda: search(entries, budget))
    choice = search(entries, budget).best
    superlm = next(b for b in bundles if b.spec.reference == choice.superlm)

    def extract() -> None:
        with tempfile.TemporaryDirectory() as folder:
            extract_student(superlm, choice.candidate, Path(folder))

    report("slice, export, parity check (warm)", extract)
    with tempfile.TemporaryDirectory() as folder:
        measure_service(Path(folder), superlm.spec.teacher.name)
    print(f"\n{platform.machine()}, {os.cpu_count()} cores, {datetime.date.today()}")


def measure_service(folder: Path, teacher: str) -> None:
    """Start a stack and time requests against it."""
    up = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "up", "--port", "0", "--data-dir", str(folder / "data")],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert up.stdout is not None
        url = next(line for line in up.stdout if " ready at " in line).split()[4]
        key = (folder / "data" / "admin-key").read_text().strip()
        request = {"teacher": teacher, "budget": BUDGET}
        number = iter(range(1000))
        with Client(url, key) as client:
            report("POST /v1/plans", lambda: client.plan(request))
            report(
                "POST, wait, download, unpack (warm worker)",
                lambda: client.extract(request, folder / f"student-{next(number)}"),
            )
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(60)


def report(what: str, call: Callable[[], object]) -> None:
    """Time a call after one warm-up and print its row."""
    times = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1000)
    times = sorted(times[1:])
    p90 = statistics.quantiles(times, n=10)[-1]
    print(f"| {what} | {statistics.median(times):.1f} | {p90:.1f} | {RUNS} |", flush=True)


if __name__ == "__main__":
    main()
