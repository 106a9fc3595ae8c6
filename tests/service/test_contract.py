"""The service against its committed OpenAPI: thousands of generated requests, all checks of
schemathesis, and chains of requests along the links.

It runs against a service of its own: what is generated revokes keys and deletes SuperLMs.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack import Stack, running_stack

HERE = Path(__file__).parent
OPENAPI = HERE.parents[1] / "docs" / "openapi.json"
REQUESTS = int(os.environ.get("AUTODISTIL_CONTRACT_REQUESTS", "5000"))
OPERATIONS = {
    f"{method.upper()} {path}"
    for path, methods in json.loads(OPENAPI.read_text())["paths"].items()
    for method in methods
}


@pytest.fixture(scope="module")
def target(broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("contract")
    with running_stack(folder, f"sqlite:///{folder / 'contract.db'}", f"{broker_url}/3") as stack:
        yield stack


def check(
    target: Stack, folder: Path, phases: str, max_examples: int, seed: int = 1
) -> Counter[str]:
    """Run schemathesis, which must find nothing; returns how many requests went to what."""
    report = folder / f"report-{seed}.ndjson"
    options = [
        *("--url", str(target.http.base_url), "--header", f"Authorization: Bearer {target.key}"),
        *("--checks", "all", "--phases", phases, "--max-examples", str(max_examples)),
        *("--seed", str(seed), "--generation-database", "none", "--workers", "1"),
        *("--request-timeout", "70", "--continue-on-failure", "--no-color"),
        *("--report", "ndjson", "--report-ndjson-path", str(report)),
    ]
    # One worker: in two threads, Hypothesis meets a fault of CPython 3.11 when it reads lambdas
    # (SystemError: AST constructor recursion depth mismatch).
    command = [sys.executable, "-m", "schemathesis.cli"]
    ended = subprocess.run(
        [*command, "--config-file", HERE / "schemathesis.toml", "run", OPENAPI, *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-20_000:] + ended.stderr[-2_000:]
    assert target.http.get("/healthz").status_code == 200
    made: Counter[str] = Counter()
    with report.open() as events:
        for line in events:
            recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
            for case, entry in recorder.get("cases", {}).items():
                if case in recorder["interactions"]:
                    made[f"{entry['value']['method']} {entry['value']['path']}"] += 1
    return made


def test_a_few_hundred_requests_find_nothing(target: Stack, tmp_path: Path) -> None:
    made = check(target, tmp_path, "examples,fuzzing,stateful", 10)
    assert made.keys() >= OPERATIONS
    assert made.total() >= 300


@pytest.mark.slow
def test_thousands_of_requests_find_nothing(target: Stack, tmp_path: Path) -> None:
    made: Counter[str] = Counter()
    seed = 1
    while made.total() < REQUESTS:
        made += check(target, tmp_path, "examples,coverage,fuzzing,stateful", 50, seed)
        seed += 1
    print(f"{made.total():,} requests to {len(made)} operations")
    assert made.keys() >= OPERATIONS
