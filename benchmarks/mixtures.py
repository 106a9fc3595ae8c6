"""What per-layer mixtures gain over the students of SuperLMs: Markdown tables.

Every bundle is searched with every seed by evolution, and with the first seed by drawing as many
mixtures at random. `python benchmarks/mixtures.py BUNDLE... --teacher FOLDER --corpus TEXT`
"""

import argparse
import random
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from autodistil.mixtures.front import Estimate
from autodistil.mixtures.picture import plot_mixtures
from autodistil.mixtures.report import MixtureReport, MixtureSettings, write_report
from autodistil.mixtures.run import find_mixtures
from autodistil.mixtures.search import Search, evolve
from autodistil.models.teacher import load_teacher
from autodistil.quiet import quiet_transformers
from autodistil.spaces.mixture import Mixture
from autodistil.spaces.mixture_space import MixtureSpace
from autodistil.superlm.bundle import SuperLM, open_superlm
from autodistil.text.corpus import tokenize_corpus
from autodistil.text.sources import open_source


def draw(
    space: MixtureSpace,
    students: Mapping[Mixture, float],
    score: Callable[[Mixture], float],
    evaluations: int,
    population: int,
    seed: int,
) -> list[Mixture]:
    """Random mixtures, each once: what a search has to beat; arguments as of `evolve`."""
    rng = random.Random(seed)
    found: dict[Mixture, float] = {}
    while len(found) < min(evaluations, space.size - len(students)):
        mixture = space.decode([rng.randrange(count) for count in space.choices])
        if mixture not in students and mixture not in found:
            found[mixture] = score(mixture)
    return list(found)


def main() -> None:
    """Search, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--work", type=Path, default=Path("build/mixtures"))
    parser.add_argument("--pictures", type=Path, help="folder for a picture of each SuperLM")
    parser.add_argument("--evaluations", type=int, default=MixtureSettings().evaluations)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    quiet_transformers()
    torch.set_num_threads(arguments.threads)
    superlms = [open_superlm(path) for path in arguments.bundles]
    teacher, work = load_teacher(arguments.teacher), arguments.work
    corpus = tokenize_corpus(open_source(arguments.corpus), teacher.tokenizer, work / "corpus")

    def run(superlm: SuperLM, name: str, search: Search, seed: int) -> MixtureReport:
        def note(phase: str, done: int, total: int) -> None:
            if done == total or done % 50 == 0:
                about = f"{superlm.spec.reference} {name} {seed}: {phase} {done}/{total}"
                print(about, file=sys.stderr, flush=True)

        settings = MixtureSettings(evaluations=arguments.evaluations, seed=seed)
        report = find_mixtures(superlm, teacher, corpus, settings, work, note, search)
        write_report(report, work / f"{superlm.spec.name}-{name}-{seed}.json")
        return report

    rows, details = [], []
    for superlm in superlms:
        for seed in range(arguments.seeds):
            report = run(superlm, "evolution", evolve, seed)
            rows.append(_row(report, "NSGA-II"))
            if seed == 0:
                details.append(report)
                rows.append(_row(run(superlm, "random", draw, seed), "random"))
                if arguments.pictures:
                    plot_mixtures(report, arguments.pictures / f"mixtures-{superlm.spec.name}.png")
    _print_summary(rows)
    for report in details:
        _print_held(report)


_SUMMARY = (
    *("SuperLM", "search", "seed", "students", "mixtures there are", "measured", "proposed"),
    *("held", "gained over all budgets (95%)", "largest gain held", "most MACs saved"),
)


def _row(report: MixtureReport, search: str) -> list[str]:
    saved = [row.macs_saved for row in report.held if row.macs_saved is not None]
    return [
        report.superlm,
        search,
        str(report.settings.seed),
        str(len(report.grid)),
        f"{report.space_size:,}",
        f"{report.evaluated:,}",
        str(len(report.held) + len(report.dropped)),
        str(len(report.held)),
        _interval(report.gain),
        _interval(max((row.gain for row in report.held), key=lambda gain: gain.mean, default=None)),
        f"{max(saved):.0%}" if saved else "-",
    ]


def _interval(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    return f"{estimate.mean:+.4f} ({estimate.low:+.4f} to {estimate.high:+.4f})"


def _print_summary(rows: list[list[str]]) -> None:
    print(f"| {' | '.join(_SUMMARY)} |")
    print("|---" * 3 + "|---:" * (len(_SUMMARY) - 3) + "|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def _print_held(report: MixtureReport) -> None:
    """The mixtures that held, and the students that they are compared with."""
    print(f"\n`{report.superlm}`, seed {report.settings.seed}:\n")
    if not report.held:
        print("None of the proposed mixtures held.")
        return
    print("| mixture | MACs | params | agreement | gain | over | as good | MACs saved |")
    print("|---|---:|---:|---:|---:|---|---|---:|")
    for row in report.held:
        saved = "-" if row.macs_saved is None else f"{row.macs_saved:.0%}"
        print(
            f"| {row.mixture.name} | {row.cost.macs:,} | {row.cost.params:,} | "
            f"{row.agreement:.4f} | {_interval(row.gain)} | {row.rival} | "
            f"{row.equal or 'none'} | {saved} |"
        )


if __name__ == "__main__":
    main()
