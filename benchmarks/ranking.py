"""Which label-free signal ranks students as fine-tuning does? Students to fine-tune, then a table.

`ranking.py students BUNDLE... --out FOLDER` extracts a spread over the MACs of all bundles, each to
a folder whose name says which student it is. `autodistil evaluate FOLDER/* --out scores.json`
fine-tunes them. `ranking.py table BUNDLE... --scores scores.json` prints, per task, Spearman's and
Kendall's rank correlation of every signal with the score, over all students and inside each
SuperLM, with bootstrap intervals. Run by `make ranking`.
"""

import argparse
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import kendalltau, rankdata

from autodistil.downstream.scores import ScoreFile
from autodistil.errors import AutoDistilError, InvalidInput
from autodistil.evaluation.candidates import Candidate
from autodistil.evaluation.quality import Score
from autodistil.extraction.extraction import extract_student
from autodistil.pictures import check_picture, save_picture
from autodistil.quiet import quiet_transformers
from autodistil.search.search import Entry
from autodistil.superlm.bundle import SuperLM, open_superlm
from autodistil.superlm.entries import entries_of

Values = NDArray[np.float64]
Signal = Callable[[Candidate], float]

QUALITY, LOSS, PARAMS = "quality estimate", "raw loss (negative)", "parameters"
SIGNALS: dict[str, Signal] = {
    QUALITY: lambda c: c.score(Score.QUALITY) or 0.0,
    LOSS: lambda c: c.score(Score.LOSS) or 0.0,
    PARAMS: lambda c: float(c.params),
    "MACs": lambda c: float(c.macs),
    "relation loss": lambda c: -(c.relation_loss or 0.0),
    "relation loss of the last hidden state": lambda c: -(c.hidden_relation_loss or 0.0),
    "similarity loss": lambda c: -(c.similarity_loss or 0.0),
    "agreement on neighbours": lambda c: c.neighbour_agreement or 0.0,
    "agreement on strangers": lambda c: c.stranger_agreement or 0.0,
}
"""More is better by each of them."""

_BETWEEN = "--"
_MEAN = "mean of the tasks"


class Scored(NamedTuple):
    """A fine-tuned student: its entry, and its mean score over seeds by task."""

    entry: Entry
    scores: dict[str, float]


def main() -> None:
    """Extract students, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    students = commands.add_parser("students")
    students.add_argument("bundles", type=Path, nargs="+")
    students.add_argument("--out", type=Path, required=True)
    students.add_argument("--count", type=int, default=24, help="at least so many")
    table = commands.add_parser("table")
    table.add_argument("bundles", type=Path, nargs="+")
    table.add_argument("--scores", type=Path, required=True)
    table.add_argument("--tasks", help="of the file, separated by commas; all by default")
    table.add_argument("--resamples", type=int, default=1000)
    table.add_argument("--markdown", type=Path)
    table.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    try:
        superlms = [open_superlm(path) for path in arguments.bundles]
        if arguments.command == "students":
            extract_students(superlms, arguments.count, arguments.out)
            return
        if arguments.plot:
            check_picture(arguments.plot)
        scored = read_scores(superlms, arguments.scores, arguments.tasks)
        text = "\n".join(tables(scored, arguments.resamples))
        print(text)
        if arguments.markdown:
            arguments.markdown.write_text(text + "\n")
        if arguments.plot:
            plot(scored, arguments.plot)
    except AutoDistilError as error:
        parser.error(error.detail)


def extract_students(superlms: Sequence[SuperLM], count: int, out: Path) -> None:
    """Extract a spread over the MACs of every SuperLM; folders that are there are kept."""
    quiet_transformers()
    for superlm in superlms:
        for candidate in spread(superlm.candidates, -(-count // len(superlms))):
            name = f"{superlm.spec.reference}{_BETWEEN}{candidate.architecture.name}"
            partial = out / f".{name}.partial"
            if not (out / name).is_dir():
                shutil.rmtree(partial, ignore_errors=True)
                receipt = extract_student(superlm, candidate, partial)
                (partial / "receipt.json").write_text(receipt.model_dump_json(indent=2))
                partial.rename(out / name)
            print(out / name, flush=True)


def spread(candidates: Sequence[Candidate], count: int) -> list[Candidate]:
    """The smallest, the largest, and others at equal distances in the order of MACs."""
    ordered = sorted(candidates, key=lambda c: (c.macs, c.params))
    places = np.linspace(0, len(ordered) - 1, min(count, len(ordered)))
    return [ordered[place] for place in places.round().astype(int)]


def read_scores(superlms: Sequence[SuperLM], path: Path, tasks: str | None) -> list[Scored]:
    """The students of a file of scores that have all the tasks.

    Raises:
        InvalidInput: The file is missing, or has too few students of these SuperLMs.
    """
    if not path.is_file():
        raise InvalidInput(f"There is no file of scores {path}.")
    entries = {
        f"{entry.superlm}{_BETWEEN}{entry.candidate.architecture.name}": entry
        for entry in entries_of(superlms)
    }
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for score in ScoreFile(path).scores:
        if score.model in entries:
            found[score.model][score.task].append(score.score)
    wanted = (
        tasks.split(",") if tasks else sorted({t for by_task in found.values() for t in by_task})
    )
    scored = []
    for name, by_task in found.items():
        if all(task in by_task for task in wanted):
            means = {task: float(np.mean(by_task[task])) for task in wanted}
            if len(wanted) > 1:
                means[_MEAN] = float(np.mean(list(means.values())))
            scored.append(Scored(entries[name], means))
    if len(scored) < 3:
        raise InvalidInput(
            f"{path} has {len(scored)} students of {', '.join(s.spec.reference for s in superlms)} "
            "with all tasks; three at least are needed."
        )
    return scored


def tables(scored: Sequence[Scored], resamples: int) -> Iterator[str]:
    """A Markdown table for every task."""
    groups = {"all": list(scored)}
    for one in scored:
        groups.setdefault(one.entry.superlm, [])
    if len(groups) > 2:
        for name in list(groups)[1:]:
            groups[name] = [one for one in scored if one.entry.superlm == name]
    else:  # inside a single SuperLM is over all
        groups = {"all": list(scored)}
    for task in scored[0].scores:
        yield f"### {task}"
        yield "Rank correlation with the score, and the interval of 95% of the bootstrap's."
        yield ""
        heads = [
            f"{name} ({len(found)}): {kind}" for name, found in groups.items() for kind in "ρτ"
        ]
        yield f"| signal | {' | '.join(heads)} |"
        yield "|---" * (len(heads) + 1) + "|"
        drawn = {name: correlations(found, task, resamples) for name, found in groups.items()}
        for signal in SIGNALS:
            cells = [cell(found[signal][:, kind]) for found in drawn.values() for kind in (0, 1)]
            yield f"| {signal} | {' | '.join(cells)} |"
        for other in (LOSS, PARAMS):
            cells = [
                cell(found[QUALITY][:, kind] - found[other][:, kind])
                for found in drawn.values()
                for kind in (0, 1)
            ]
            yield f"| *{QUALITY} over {other}* | {' | '.join(cells)} |"
        yield ""


def cell(values: Values) -> str:
    """A correlation, and its interval over the resamples that have one."""
    known = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]) or not len(known):
        return "-"
    low, high = np.percentile(known, [2.5, 97.5])
    return f"{values[0]:.2f} ({low:.2f} to {high:.2f})"


def correlations(scored: Sequence[Scored], task: str, resamples: int) -> dict[str, Values]:
    """Spearman and Kendall of each signal, of the students as they are and of each resample.

    Returns:
        [1 + resamples, 2] for each signal; the resamples are the same for all of them.
    """
    rng = np.random.default_rng(0)
    places = [np.arange(len(scored))]
    places += [rng.integers(len(scored), size=len(scored)) for _ in range(resamples)]
    reached = np.array([one.scores[task] for one in scored])
    found = {}
    for name, signal in SIGNALS.items():
        values = np.array([signal(one.entry.candidate) for one in scored])
        found[name] = np.array([rank_correlations(values[p], reached[p]) for p in places])
    return found


def rank_correlations(values: Values, reached: Values) -> tuple[float, float]:
    """Spearman's and Kendall's; not a number where one side is constant."""
    if len(set(values)) < 2 or len(set(reached)) < 2:
        return float("nan"), float("nan")
    spearman = np.corrcoef(rankdata(values), rankdata(reached))[0, 1]
    return float(spearman), float(kendalltau(values, reached).statistic)


def plot(scored: Sequence[Scored], path: Path) -> None:
    """Draw the score against the three signals that a search can choose by."""
    task = _MEAN if _MEAN in scored[0].scores else next(iter(scored[0].scores))
    figure = Figure(figsize=(12, 4), layout="constrained")
    names = list(dict.fromkeys(one.entry.superlm for one in scored))
    for axis, signal in zip(figure.subplots(1, 3), (QUALITY, LOSS, PARAMS), strict=True):
        for name in names:
            own = [one for one in scored if one.entry.superlm == name]
            x = [SIGNALS[signal](one.entry.candidate) for one in own]
            axis.scatter(x, [one.scores[task] for one in own], label=name, s=20)
        axis.set_xlabel(signal)
        axis.set_ylabel(task)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    save_picture(figure, path)


if __name__ == "__main__":
    main()
