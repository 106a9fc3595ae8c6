"""How near predicted latencies are to measured ones, and whether limits on latency are kept.

Run by `make bench-latency` on a quiet machine; prints Markdown with the conditions. First, students
of the sub-spaces below the shipped SuperLMs' teacher are measured, all in turns. A predictor is
fitted to some and compared with the others, which it did not see. Second, the best student of the
shipped SuperLMs is extracted for each of some limits on latency, as a worker does; what was handed
over is measured once more, all in turns, and compared with the limits.
"""

import argparse
import datetime
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from autodistil.errors import LatencyMissed
from autodistil.evaluation.quality import Score
from autodistil.extraction.receipt import Receipt
from autodistil.latency.conditions import Conditions, LatencyLimit, Percentile
from autodistil.latency.device_profile import DeviceProfile, Sample
from autodistil.latency.measurement import Effort, Latency, measure_in_turns, torch_threads
from autodistil.profiling.dense_students import folder_forward
from autodistil.profiling.device import fit_profile, profile_device, stratified_sample
from autodistil.quiet import quiet_transformers
from autodistil.search.budget import Budget
from autodistil.search.latency_limit import predict_latency
from autodistil.selection.on_device import extract_best
from autodistil.spaces.partition import partition
from autodistil.superlm.bundle import SuperLM, open_superlm
from autodistil.superlm.entries import entries_of
from models_store import shipped_bundles

DEVICE = "this-machine"


def main() -> None:
    """Print both tables."""
    quiet_transformers()
    arguments = read_arguments()
    conditions = Conditions(
        batch_size=arguments.batch_size,
        sequence_length=arguments.sequence_length,
        runtime=arguments.runtime,
        threads=arguments.threads,
    )
    effort = Effort(rounds=arguments.rounds, runs=arguments.runs, seconds=3600)
    bundles = [open_superlm(path) for path in shipped_bundles()]
    spec = bundles[0].spec
    shipped = [student for bundle in bundles for student in bundle.spec.space.students()]
    below = [s for space in partition(spec.teacher.architecture) for s in space.students()]
    held_out = stratified_sample(below, arguments.held_out, seed=1)
    measured = stratified_sample(set(below + shipped) - set(held_out), arguments.students, seed=0)
    both = profile_device(DEVICE, [*measured, *held_out], spec.encoder, [conditions], effort)
    samples = both.profiled[0].samples
    seen, unseen = samples[: len(measured)], samples[len(measured) :]
    fitted = fit_profile(conditions, measured, [sample.latency for sample in seen])
    profile = both.model_copy(update={"profiled": (fitted,)})
    machine = profile.machine
    print(f"{conditions}; {machine.cpu}, {machine.cores} cores, {machine.system}")
    print(f"{', '.join(f'{name} {version}' for name, version in machine.versions.items())}")
    print(f"{datetime.date.today()}; {effort.rounds} rounds of {effort.runs} runs\n")
    report_predictions(profile, unseen)
    superlms = {bundle.spec.reference: bundle for bundle in bundles}
    with tempfile.TemporaryDirectory() as folder:
        report_limits(profile, superlms, arguments, effort, Path(folder))


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=48, help="measured for the predictor")
    parser.add_argument("--held-out", type=int, default=20)
    parser.add_argument("--budgets", type=int, default=20)
    parser.add_argument("--percentile", type=int, choices=(50, 90), default=90)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--sequence-length", type=int, default=128)
    parser.add_argument("--runtime", choices=("torch", "onnxruntime"), default="torch")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--score", type=Score, choices=tuple(Score), default=Score.QUALITY)
    return parser.parse_args()


def report_predictions(profile: DeviceProfile, unseen: Sequence[Sample]) -> None:
    """Print how wrong the predictor is about students that it did not see."""
    (known,) = profile.profiled
    held_out = [sample.architecture for sample in unseen]
    found = [sample.latency for sample in unseen]
    print(f"### Predicted against measured: {len(held_out)} held-out students")
    print(f"The predictor was fitted to {len(known.samples)} other students.\n")
    print("| student | predicted p50 ms | measured p50 ms | error | predicted p90 ms | measured |")
    print("|---|---|---|---|---|---|")
    medians, tails = (known.predictor.predict(held_out, percentile) for percentile in (50, 90))
    for student, p50, p90, latency in zip(held_out, medians, tails, found, strict=True):
        error = p50 / latency.p50_ms - 1
        print(
            f"| {student.name} | {p50:.2f} | {latency.p50_ms:.2f} | {error:+.1%} "
            f"| {p90:.2f} | {latency.p90_ms:.2f} |"
        )
    print()
    for name, predicted, measured in (
        ("p50", medians, [latency.p50_ms for latency in found]),
        ("p90", tails, [latency.p90_ms for latency in found]),
    ):
        errors = [abs(p / m - 1) for p, m in zip(predicted, measured, strict=True)]
        print(
            f"Error of {name}: median {statistics.median(errors):.1%}, 90th percentile "
            f"{statistics.quantiles(errors, n=10, method='inclusive')[-1]:.1%}, most "
            f"{max(errors):.1%}."
        )
    noise = statistics.median(latency.spread_ms / latency.p50_ms for latency in found)
    print(f"Spread of the runs of a student (p90 - p10) / p50: median {noise:.1%}.\n", flush=True)


class Kept(NamedTuple):
    """A limit with the student that was handed over for it."""

    limit: LatencyLimit
    receipt: Receipt
    folder: Path


def report_limits(
    profile: DeviceProfile,
    superlms: Mapping[str, SuperLM],
    arguments: argparse.Namespace,
    effort: Effort,
    folder: Path,
) -> None:
    """Extract a student for each of some limits, measure all of them again, and compare."""
    (known,) = profile.profiled
    percentile: Percentile = arguments.percentile
    profiles = {DEVICE: profile}
    any_limit = LatencyLimit(
        ms=1, device=DEVICE, percentile=percentile, **known.conditions.model_dump()
    )
    candidates = [entry.candidate for entry in entries_of(superlms.values())]
    predicted = sorted(p.ms for p in predict_latency(candidates, any_limit, profiles))
    kept, refused = [], 0
    for number in range(arguments.budgets):
        share = (number + 1) / arguments.budgets
        ms = predicted[0] * (predicted[-1] / predicted[0]) ** share  # least to most, by ratios
        limit = any_limit.model_copy(update={"ms": round(ms, 3)})
        target = folder / str(number)
        try:
            receipt = extract_best(
                superlms, Budget(latency=limit), target, profiles, score=arguments.score
            )
        except LatencyMissed:
            refused += 1
            continue
        kept.append(Kept(limit, receipt, target))
    print(f"### {arguments.budgets} limits on the {percentile}th percentile\n")
    print("| limit ms | student | missed before | predicted | measured | again | spread | over |")
    print("|---|---|---|---|---|---|---|---|")
    over = 0
    for one, again in zip(kept, measure_again(kept, known.conditions, effort), strict=True):
        found = one.receipt.latency
        assert found is not None
        assert found.measured is not None
        excess = again.percentile(percentile) - one.limit.ms
        over += excess > again.spread_ms
        print(
            f"| {one.limit.ms:.2f} | {one.receipt.architecture.name} | {len(found.missed)} "
            f"| {found.predicted_ms:.2f} | {found.measured.percentile(percentile):.2f} "
            f"| {again.percentile(percentile):.2f} | {again.spread_ms:.2f} "
            f"| {f'{excess:.2f}' if excess > 0 else ''} |"
        )
    print(
        f"\n{len(kept)} students handed over, {refused} limits refused after measuring; over the "
        f"limit by more than the spread of their own second measurement: {over}."
    )


def measure_again(kept: Sequence[Kept], conditions: Conditions, effort: Effort) -> list[Latency]:
    """Measure the students handed over, all in turns."""
    with torch_threads(conditions.threads):
        ready = {one.folder: folder_forward(one.folder, conditions) for one in kept}
        return measure_in_turns(
            [partial(ready.__getitem__, one.folder) for one in kept], effort, seed=2
        )


if __name__ == "__main__":
    main()
