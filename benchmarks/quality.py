"""What `quality` means: fitted to measured students, and how far it is off.

    python benchmarks/quality.py students BUNDLE ... --count 16 --out FOLDER
    autodistil evaluate teacher=FOLDER FOLDER/* --reference teacher \
        --tasks stsb-zero-shot,probes --data GLUE-FOLDER --out SCORES
    python benchmarks/quality.py fit BUNDLE ... --scores SCORES

The first cuts students out of bundles, spread over their costs. The last fits the constants of
`autodistil.evaluation.quality` to their measured share of the teacher's score (the mean of the
shares on STS-B without fine-tuning and on the probes), prints how far the estimate is off, also of
constants that did not see a student's SuperLM, and how well it ranks beside simpler signals. Run by
`make quality`.
"""

import argparse
import datetime
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

from autodistil.correlation import spearman
from autodistil.downstream.scores import PROBE, ScoreFile
from autodistil.downstream.vector_scoring import ZERO_SHOT
from autodistil.evaluation.candidates import Candidate
from autodistil.extraction.handover import extract_student
from autodistil.quiet import quiet_transformers
from autodistil.superlm.bundle import SuperLM, open_superlm

RANKED_BY: dict[str, Callable[[Candidate], float]] = {
    "quality, as it ships": lambda c: c.quality or 0.0,
    "distance to the teacher's vectors": lambda c: -(c.vector_distance or 0.0),
    "agreement on neighbours": lambda c: c.neighbour_agreement or 0.0,
    "parameters": lambda c: float(c.params),
    "MACs": lambda c: float(c.macs),
}


class Point(NamedTuple):
    """A measured student: its SuperLM, its row, and its share of the teacher's score."""

    superlm: str
    candidate: Candidate
    share: float

    @property
    def agreement(self) -> float:
        """What the estimate is made of."""
        return math.atanh(min(self.candidate.neighbour_agreement or 0.0, 1 - 1e-9))


def main() -> None:
    """Run one of the two commands."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    students = commands.add_parser("students")
    students.add_argument("bundles", nargs="+", type=Path)
    students.add_argument("--count", type=int, default=16)
    students.add_argument("--out", type=Path, required=True)
    fitting = commands.add_parser("fit")
    fitting.add_argument("bundles", nargs="+", type=Path)
    fitting.add_argument("--scores", type=Path, required=True)
    arguments = parser.parse_args()
    bundles = [open_superlm(path) for path in arguments.bundles]
    if arguments.command == "students":
        quiet_transformers()
        for superlm in bundles:
            cut_out(superlm, arguments.count, arguments.out)
    else:
        report(read_points(bundles, ScoreFile(arguments.scores)))


def folder_name(superlm: SuperLM, candidate: Candidate) -> str:
    """Name of a student's folder, by which its scores are found."""
    return f"{superlm.spec.name}-{candidate.architecture.name}"


def cut_out(superlm: SuperLM, count: int, out: Path) -> None:
    """Extract students spread over the MACs of a SuperLM; those that are there stay."""
    ordered = sorted(superlm.candidates, key=lambda c: (c.macs, c.params))
    for place in np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(int):
        folder = out / folder_name(superlm, ordered[place])
        if not folder.is_dir():
            partial = folder.with_name(folder.name + ".partial")
            extract_student(superlm, ordered[place], partial)
            partial.rename(folder)


def read_points(bundles: Sequence[SuperLM], scores: ScoreFile) -> list[Point]:
    """The students that were measured on all tasks, with their shares of the teacher's score."""
    found: dict[str, dict[str, float]] = {}
    for score in scores.scores:
        found.setdefault(score.model, {})[score.task] = score.score
    teacher = found["teacher"]
    probes = [task for task in teacher if task.startswith(PROBE)]
    points = []
    for superlm in bundles:
        for candidate in superlm.candidates:
            own = found.get(folder_name(superlm, candidate))
            if own is None or not {ZERO_SHOT, *probes} <= set(own):
                continue
            on_probes = sum(own[p] for p in probes) / sum(teacher[p] for p in probes)
            share = (own[ZERO_SHOT] / teacher[ZERO_SHOT] + on_probes) / 2
            points.append(Point(superlm.spec.name, candidate, share))
    return points


def estimate(constants: Sequence[float], point: Point) -> float:
    """The share that constants give."""
    return 1 - math.exp(-(constants[0] + constants[1] * point.agreement))


def fit(points: Sequence[Point]) -> list[float]:
    """Constants by least squares of the shares."""

    def errors(constants: Sequence[float]) -> list[float]:
        return [estimate(constants, point) - point.share for point in points]

    return [float(c) for c in least_squares(errors, [1.0, 0.5]).x]


def mean_error(constants: Sequence[float], points: Sequence[Point]) -> float:
    """Mean absolute error in points."""
    return 100 * float(np.mean([abs(estimate(constants, p) - p.share) for p in points]))


def report(points: Sequence[Point]) -> None:
    """Print constants, errors, and rank correlations as Markdown."""
    constants = fit(points)
    names = sorted({point.superlm for point in points})
    print(f"{len(points)} students of {', '.join(names)}, {datetime.date.today()}\n")
    print("constants: " + ", ".join(f"{c:.3f}" for c in constants))
    print(f"mean error {mean_error(constants, points):.2f} points; as it ships ", end="")
    shipped = [abs((p.candidate.quality or 0.0) - p.share) for p in points]
    print(f"{100 * float(np.mean(shipped)):.2f}")
    for name in names:
        others = [p for p in points if p.superlm != name]
        if len(others) < 4:
            continue
        own = [p for p in points if p.superlm == name]
        print(f"{name} by constants fitted without it: {mean_error(fit(others), own):.2f} points")
    print("\n| Spearman with the measured share | all | " + " | ".join(names) + " |")
    print("|---|" + "---|" * (1 + len(names)))
    groups = [points, *([p for p in points if p.superlm == name] for name in names)]
    for signal, value in RANKED_BY.items():
        cells = [
            spearman(
                np.array([value(p.candidate) for p in group]), np.array([p.share for p in group])
            )
            for group in groups
        ]
        print(f"| {signal} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |")


if __name__ == "__main__":
    main()
