"""Fit the quality estimate to fine-tuned students, and say how far it is off for a SuperLM unseen.

`calibration.py BUNDLE... --scores scores.json --teacher-scores scores.json` fits the constants of
`autodistil.evaluation.quality` by least squares to the share of the teacher's score that each
student kept, mean over all tasks of the file. Every SuperLM is also judged by constants fitted
without it. Run by `make ranking`.
"""

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.stats import kendalltau, spearmanr

from autodistil.downstream.scores import ScoreFile
from autodistil.errors import AutoDistilError, InvalidInput
from autodistil.evaluation.quality import OFFSET, PER_AGREEMENT, PER_SIZE
from autodistil.pictures import check_picture, save_picture
from autodistil.superlm.bundle import open_superlm
from ranking import Scored, read_scores

Values = NDArray[np.float64]


def main() -> None:
    """Fit, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--teacher-scores", type=Path, required=True, help="of a model 'teacher'")
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    try:
        if arguments.plot:
            check_picture(arguments.plot)
        superlms = [open_superlm(path) for path in arguments.bundles]
        scored = read_scores(superlms, arguments.scores, None)
        kept = shares(scored, arguments.teacher_scores)
        report(scored, kept)
        if arguments.plot:
            plot(scored, kept, arguments.plot)
    except AutoDistilError as error:
        parser.error(error.detail)


def shares(scored: Sequence[Scored], path: Path) -> Values:
    """Share of the teacher's score that each student keeps, mean over the tasks; [students].

    Raises:
        InvalidInput: The teacher was not scored on any of the tasks.
    """
    reached = defaultdict(list)
    for score in ScoreFile(path).scores:
        if score.model == "teacher" and score.task in scored[0].scores:
            reached[score.task].append(score.score)
    if not reached:
        raise InvalidInput(f"{path} has no scores of a model 'teacher' on the students' tasks.")
    teacher = {task: fmean(scores) for task, scores in reached.items()}
    return np.array([fmean(one.scores[task] / teacher[task] for task in teacher) for one in scored])


def features(scored: Sequence[Scored]) -> Values:
    """What the estimate is made of: 1, atanh of the agreement, log of millions of parameters.

    Returns:
        [students, 3]
    """
    candidates = [one.entry.candidate for one in scored]
    agreement = np.arctanh([c.neighbour_agreement or 0.0 for c in candidates])
    size = np.log([c.params / 1e6 for c in candidates])
    return np.column_stack([np.ones(len(scored)), agreement, size])


def estimate(constants: Values, made_of: Values) -> Values:
    """The estimate with some constants; [students]."""
    found: Values = 1 - np.exp(-made_of @ constants)
    return found


def fit(made_of: Values, kept: Values) -> Values:
    """Constants with the least squared error; [3]."""
    start = np.array([OFFSET, PER_AGREEMENT, PER_SIZE])
    found: Values = least_squares(lambda c: estimate(c, made_of) - kept, start).x
    return found


def report(scored: Sequence[Scored], kept: Values) -> None:
    """Print the constants, and the error inside and outside of what they were fitted to."""
    made_of = features(scored)
    constants = fit(made_of, kept)
    used = np.array([OFFSET, PER_AGREEMENT, PER_SIZE])
    print(f"{len(scored)} students; fitted constants {np.round(constants, 3)}, in use {used}")
    print("\n| judged | root mean square error | mean error | largest | Spearman | Kendall |")
    print("|---|---|---|---|---|---|")
    print(row("all, by the constants in use", estimate(used, made_of), kept))
    names = np.array([one.entry.superlm for one in scored])
    unseen = np.empty_like(kept)
    for name in sorted(set(names)):
        inside = names == name
        unseen[inside] = estimate(fit(made_of[~inside], kept[~inside]), made_of[inside])
        print(row(f"{name}, fitted without it", unseen[inside], kept[inside]))
    print(row("all, each fitted without its SuperLM", unseen, kept))
    print(row("all, by parameters", made_of[:, 2], kept, errors=False))


def row(name: str, estimated: Values, kept: Values, errors: bool = True) -> str:
    """A line of the table, errors in points of the teacher's score."""
    off = 100 * (estimated - kept)
    cells = [f"{np.sqrt(np.mean(off**2)):.1f}", f"{off.mean():+.1f}", f"{np.abs(off).max():.1f}"]
    ranks = [spearmanr(estimated, kept)[0], kendalltau(estimated, kept)[0]]
    shown = cells if errors else ["-"] * 3
    return f"| {name} | {' | '.join([*shown, *(f'{rank:.3f}' for rank in ranks)])} |"


def plot(scored: Sequence[Scored], kept: Values, path: Path) -> None:
    """Draw the share that was kept against the estimate."""
    estimated = 100 * np.array([one.entry.candidate.quality or 0.0 for one in scored])
    names = np.array([one.entry.superlm for one in scored])
    figure = Figure(figsize=(6, 5), layout="constrained")
    axis = figure.subplots()
    for name in sorted(set(names)):
        inside = names == name
        axis.scatter(estimated[inside], 100 * kept[inside], s=22, label=name)
    ends = [min(estimated.min(), 100 * kept.min()) - 1, 100]
    axis.plot(ends, ends, color="grey", linewidth=0.8)
    axis.set_xlabel("quality, % of the teacher's score")
    axis.set_ylabel("measured, % of the teacher's score (mean of the tasks)")
    axis.legend(fontsize=8)
    save_picture(figure, path)


if __name__ == "__main__":
    main()
