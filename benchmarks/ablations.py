"""Ablations of the method at equal tokens: each row trains a SuperLM and scores three students.

    python benchmarks/ablations.py run --data GLUE-FOLDER --corpus TEXT-FOLDER [--rows NAME ...]
    python benchmarks/ablations.py table

`run` appends a line per row to docs/experiments.jsonl and skips the rows that stand there; rows
that see the same batches share the teacher's outputs on disk. `table` prints the Markdown of
docs/experiments.md. Scores are STS-B dev, Spearman of the cosine of mean-pooled vectors, without
fine-tuning, of the smallest, middle, and largest student.
"""

from pathlib import Path

RESULTS = Path(__file__).parents[1] / "docs" / "experiments.jsonl"
