"""Ablations of the method at equal tokens: each row trains a SuperLM and scores three students.

    python benchmarks/ablations.py run --teacher FOLDER --data GLUE-FOLDER --corpus TEXT-FOLDER
    python benchmarks/ablations.py table

`run` takes `--rows NAME ...`, appends a line per row to docs/experiments.jsonl, and skips the rows
that stand there; rows that see the same batches share the teacher's outputs on disk. `table` prints
the Markdown of docs/experiments.md. Scores are STS-B dev, Spearman of the cosine of mean-pooled
vectors, without fine-tuning, of the smallest, middle, and largest student.
"""

import argparse
import datetime
import hashlib
import json
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from ablation_rows import RECIPE, ROWS, Row
from autodistil.evaluation.evaluation import evaluate_students, held_out_batches
from autodistil.models.elastic import ElasticEncoder
from autodistil.models.teacher import Teacher, load_teacher
from autodistil.quiet import quiet_transformers
from autodistil.spaces.architecture import HeadPolicy, SubSpace
from autodistil.spaces.partition import partition
from autodistil.text.corpus import Corpus, tokenize_corpus
from autodistil.training.settings import ObjectiveSettings, StartSettings, TrainingSettings
from autodistil.training.start import Start, load_or_cut, teacher_encoder
from autodistil.training.training import Trainer
from students import Scorer, stsb_scorer, three

RESULTS = Path(__file__).parents[1] / "docs" / "experiments.jsonl"
CACHE = Path("build/ablations")


def main() -> None:
    """Run rows, or print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    runner = commands.add_parser("run")
    runner.add_argument("--teacher", required=True)
    runner.add_argument("--data", type=Path, required=True)
    runner.add_argument("--corpus", type=Path, required=True)
    runner.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS), metavar="ROW")
    runner.set_defaults(command=run)
    commands.add_parser("table").set_defaults(command=lambda arguments: print_tables())
    arguments = parser.parse_args()
    arguments.command(arguments)


def run(arguments: argparse.Namespace) -> None:
    """Run the rows that have no result yet."""
    quiet_transformers()
    torch.set_num_threads(1)
    teacher = load_teacher(arguments.teacher)
    corpus = tokenize_corpus(arguments.corpus, teacher.tokenizer, CACHE / "corpus")
    score = stsb_scorer(teacher, arguments.data)
    known = {found["row"] for found in read_results()}
    for name in arguments.rows:
        if name in known:
            continue
        start = time.monotonic()
        result = {
            "row": name,
            **measure(ROWS[name], teacher, corpus, score),
            "seconds": round(time.monotonic() - start),
            "date": datetime.date.today().isoformat(),
            "machine": platform.machine(),
        }
        with RESULTS.open("a") as file:
            file.write(json.dumps(result) + "\n")
        print(json.dumps(result), flush=True)


def measure(row: Row, teacher: Teacher, corpus: Corpus, score: Scorer) -> dict[str, Any]:
    """Train a row's SuperLM, or its K SuperLMs, and score their students."""
    settings = TrainingSettings.model_validate(
        {**RECIPE, **row.settings, "tokens": row.tokens // (row.k if row.space == "all" else 1)}
    )
    policy = HeadPolicy.TEACHER if row.teacher_heads else HeadPolicy.STOCK
    probes = [s for space in partition(teacher.architecture) for s in three(space)]
    scores: dict[str, float] = {}
    held_out: dict[str, float] = {}
    for space in partition(teacher.architecture, row.k, policy):
        if row.space not in ("all", space.name):
            continue
        # Over several SuperLMs: the same nine students, whichever of them holds which.
        students = [s for s in probes if s in space] if row.space == "all" else three(space)
        superlm = train(space, settings, teacher, corpus)
        found = evaluate_students(
            superlm,
            students,
            teacher_encoder(teacher),
            teacher.architecture,
            held_out_batches(corpus.held_out, rounds=1, neighbours=1),  # as all rows so far
            ObjectiveSettings(),
        )
        for student in students:
            scores[student.name] = round(score(superlm, student), 4)
            signals = found[student]
            held_out[student.name] = round(signals.relation_loss + signals.similarity_loss, 4)
    return {"stsb": scores, "held_out_loss": held_out, "tokens": settings.tokens}


def train(
    space: SubSpace, settings: TrainingSettings, teacher: Teacher, corpus: Corpus
) -> ElasticEncoder:
    """A SuperLM by the settings, ready to be scored."""
    start = cached_start(space, settings.start, teacher, corpus)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            teacher, space, start, corpus.train, settings, Path(folder), cache=CACHE / "teacher"
        )
        trainer.run(checkpoint_seconds=float("inf"))
    return trainer.superlm.eval()


def cached_start(
    space: SubSpace, settings: StartSettings, teacher: Teacher, corpus: Corpus
) -> Start:
    """The start of a run; made once for all rows that share it."""
    made_from = (
        f"{space.model_dump_json()} {settings.model_dump_json()} {corpus.sha256} {teacher.sha256}"
    )
    path = CACHE / "starts" / hashlib.sha256(made_from.encode()).hexdigest()[:16]
    return load_or_cut(path, made_from, teacher, space, corpus.train, settings)


def read_results() -> list[dict[str, Any]]:
    """The results so far."""
    if not RESULTS.is_file():
        return []
    return [json.loads(line) for line in RESULTS.read_text().splitlines()]


def print_tables() -> None:
    """Print a Markdown table per question."""
    results = {found["row"]: found for found in read_results()}
    for question in dict.fromkeys(row.question for row in ROWS.values()):
        rows = [name for name, row in ROWS.items() if row.question == question and name in results]
        if not rows:
            continue
        print(f"\n## {question}\n\n| row | STS-B of the students | held-out loss | tokens |")
        print("|---|---|---|---:|")
        for name in rows:
            found = results[name]
            scores, losses = found["stsb"].values(), found["held_out_loss"].values()
            print(
                f"| {name} | {' '.join(f'{score:.4f}' for score in scores)} "
                f"| {' '.join(f'{loss:.3f}' for loss in losses)} | {found['tokens']:,} |"
            )


if __name__ == "__main__":
    main()
