"""Which held-out signal ranks the students of a SuperLM as STS-B does: a Markdown table.

Every student is extracted and scored on STS-B without fine-tuning; then Spearman's rank correlation
of each signal with that score. `python benchmarks/ranking.py BUNDLE --data GLUE-FOLDER`
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from scipy.stats import spearmanr
from stsb_table import score

from autodistil.candidates import Candidate
from autodistil.quiet import quiet_transformers
from autodistil.superlm import open_superlm
from autodistil.task_data import read_stsb

SIGNALS: dict[str, Callable[[Candidate], float]] = {
    "relation loss": lambda c: -(c.relation_loss or 0.0),
    "similarity loss": lambda c: -(c.similarity_loss or 0.0),
    "their sum (what the search minimises)": lambda c: -c.loss,
    "parameters": lambda c: c.params,
    "MACs": lambda c: c.macs,
}


def main() -> None:
    """Print the table."""
    quiet_transformers()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    pairs, superlm = read_stsb(arguments.data), open_superlm(arguments.bundle)
    scores = [score(superlm, c.architecture, pairs) for c in superlm.candidates]
    print(f"| signal, over the {len(scores)} students of {superlm.spec.reference} | Spearman |")
    print("|---|---|")
    for name, signal in SIGNALS.items():
        correlation = spearmanr([signal(c) for c in superlm.candidates], scores).statistic
        print(f"| {name} | {correlation:.3f} |")
    print(f"\nSTS-B of the students: {min(scores):.4f} to {max(scores):.4f}")


if __name__ == "__main__":
    main()
