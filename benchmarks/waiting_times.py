"""Times what a user waits for: a plan, an extraction, a whole request over HTTP and the broker.

Run by `make bench`; starts its own stack, prints a Markdown table.
"""

import contextlib
import datetime
import itertools
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from autodistil.extraction.handover import extract_student
from autodistil.quiet import quiet_transformers
from autodistil.search.budget import Budget
from autodistil.search.choice import search
from autodistil.superlm.bundle import open_superlm
from autodistil.superlm.entries import entries_of
from models_store import shipped_bundles

RUNS = 20
READS, WARM_READS = 300, 20
MACS = 60_000_000


def main() -> None:
    """Print the table."""
    quiet_transformers()
    bundles = [open_superlm(path) for path in shipped_bundles()]
    entries = entries_of(bundles)
    budget = Budget(macs=MACS)
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
    with running_stack(folder) as (url, key), http_client(url, key) as http:
        number = itertools.count()

        def fresh_request() -> dict[str, object]:
            """Asks for the same student by another budget: an equal request needs no work."""
            return {"teacher": teacher, "budget": {"macs": MACS + next(number)}}

        report("POST /v1/plans", lambda: http.post("/v1/plans", json=fresh_request()))
        report(
            "POST, succeeded, first byte of the student (warm worker)",
            lambda: first_byte(http, fresh_request()),
        )
        same = fresh_request()
        report("the same for a request answered before", lambda: first_byte(http, same))
        job = http.post("/v1/extractions", json=same).json()
        compare_reads(url, key, folder / "data" / "autodistil.db", job["id"])


def first_byte(http: httpx.Client, request: dict[str, object]) -> None:
    """Ask for a student, wait for it, and read the beginning of its file."""
    answer = http.post("/v1/extractions", json=request, headers={"Prefer": "wait=30"})
    answer.raise_for_status()
    (artifact,) = answer.json()["artifacts"]
    with http.stream("GET", artifact["url"]) as stream:
        stream.raise_for_status()
        next(stream.iter_raw(1))


def compare_reads(url: str, key: str, database: Path, job: str) -> None:
    """Time reading a job against a bare application that reads the same row, in turns."""
    with (
        bare_server(database) as bare_url,
        http_client(url, key) as ours,
        http_client(bare_url, key) as bare,
    ):
        reads = {
            "GET a job": (ours, f"/v1/extractions/{job}"),
            "bare FastAPI + SQLAlchemy, the same row": (bare, f"/rows/{job}"),
        }
        times: dict[str, list[float]] = {what: [] for what in reads}
        for turn in range(READS + WARM_READS):
            for what, (http, path) in reads.items():
                start = time.perf_counter()
                http.get(path).raise_for_status()
                if turn >= WARM_READS:
                    times[what].append((time.perf_counter() - start) * 1000)
    for what, found in times.items():
        print_row(what, found)
    read, plain = (statistics.median(found) for found in times.values())
    print(f"\nReading a job costs {read / plain:.2f} times the bare read (medians, in turns).")


@contextlib.contextmanager
def running_stack(folder: Path) -> Iterator[tuple[str, str]]:
    """A whole stack in a folder: its URL and admin key."""
    up = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "up", "--port", "0", "--data-dir", str(folder / "data")],
        stdout=subprocess.PIPE,
        text=True,
        # What is measured here is not how requests are held back.
        env={**os.environ, "AUTODISTIL_REQUESTS_PER_MINUTE": "0"},
    )
    try:
        assert up.stdout is not None
        url = next(line for line in up.stdout if " ready at " in line).split()[4]
        yield url, (folder / "data" / "admin-key").read_text().strip()
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(60)


@contextlib.contextmanager
def bare_server(database: Path) -> Iterator[str]:
    """`bare_read.py` over a database, served by uvicorn as the service is: its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    arguments = ["--factory", "bare_read:create_app", "--port", port, "--log-level", "warning"]
    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", *arguments],
        cwd=Path(__file__).parent,
        env={**os.environ, "BARE_DATABASE_URL": f"sqlite:///{database}"},
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            with contextlib.suppress(httpx.ConnectError):
                httpx.get(url)
                break
            time.sleep(0.05)
        yield url
    finally:
        server.terminate()
        server.wait(10)


def http_client(url: str, key: str) -> httpx.Client:
    """A plain HTTP client with the key."""
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.Client(base_url=url, headers=headers, timeout=60)


def report(what: str, call: Callable[[], object]) -> None:
    """Time a call after one warm-up and print its row."""
    times = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1000)
    print_row(what, times[1:])


def print_row(what: str, times: list[float]) -> None:
    """A row of the table, from times in ms."""
    p90 = statistics.quantiles(times, n=10)[-1]
    print(f"| {what} | {statistics.median(times):.1f} | {p90:.1f} | {len(times)} |", flush=True)


if __name__ == "__main__":
    main()
