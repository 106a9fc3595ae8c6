"""STS-B of the smallest, middle, and largest student, trained and untrained: a Markdown table.

Spearman correlation of the cosine of mean-pooled token vectors, without fine-tuning. The untrained
students are the same slices of the permuted teacher at step 0. Run by `make results`.
"""

import argparse
import datetime
import platform
import tempfile
from pathlib import Path

from students import three

from autodistil.architecture import Architecture
from autodistil.downstream import folder_embedder, stsb_spearman
from autodistil.extraction import extract_student
from autodistil.quiet import quiet_transformers
from autodistil.superlm import SuperLM, open_superlm
from autodistil.task_data import Examples, read_stsb


def main() -> None:
    """Print the table."""
    quiet_transformers()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trained", type=Path, required=True)
    parser.add_argument("--untrained", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    pairs = read_stsb(arguments.data)
    trained, untrained = open_superlm(arguments.trained), open_superlm(arguments.untrained)
    teacher = stsb_spearman(folder_embedder(arguments.teacher), pairs)
    print(
        f"| student of {trained.spec.reference} | MACs | params | untrained | trained | teacher |"
    )
    print("|---|---|---|---|---|---|")
    for student in three(trained.spec.space):
        row = next(c for c in trained.candidates if c.architecture == student)
        before, after = score(untrained, student, pairs), score(trained, student, pairs)
        print(
            f"| {student.name} | {row.macs:,} | {row.params:,} "
            f"| {before:.4f} | {after:.4f} | {teacher:.4f} |",
            flush=True,
        )
    print(f"\n{platform.machine()}, {datetime.date.today()}, {len(pairs):,} pairs")


def score(superlm: SuperLM, student: Architecture, pairs: Examples) -> float:
    """Spearman of a student after extraction, loaded as a user would."""
    candidate = next(c for c in superlm.candidates if c.architecture == student)
    with tempfile.TemporaryDirectory() as folder:
        extract_student(superlm, candidate, Path(folder))
        return stsb_spearman(folder_embedder(Path(folder)), pairs)


if __name__ == "__main__":
    main()
