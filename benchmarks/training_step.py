"""A training step against the sum of its bare parts, in one run: a Markdown table.

Bare parts: the teacher's forward, and for each student of the step its forward and the backward of
a plain sum. What is left is the step's own: the batch, the losses, clipping, the optimizer. Parts
and step take turns on the same batches, so that noise of the machine meets both. Run by
`make bench-train`.
"""

import argparse
import datetime
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from autodistil.models.elastic import ElasticEncoder
from autodistil.models.teacher import Teacher, load_teacher
from autodistil.quiet import quiet_transformers
from autodistil.spaces.architecture import Architecture
from autodistil.spaces.partition import partition
from autodistil.text.corpus import Batch, tokenize_corpus
from autodistil.training.settings import StartSettings, TrainingSettings
from autodistil.training.start import calibration_batches, cut_superlm, teacher_encoder
from autodistil.training.training import Trainer


def main() -> None:
    """Print the table."""
    quiet_transformers()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("build/corpus"))
    parser.add_argument("--steps", type=int, default=8)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    teacher = load_teacher(arguments.teacher)
    text = tokenize_corpus(arguments.corpus, teacher.tokenizer, arguments.cache).train
    print("| sub-space | row length | step s | bare parts s | ratio (median of the steps') |")
    print("|---|---|---|---|---|")
    plain = StartSettings(least_squares=False, layers="spaced")
    for space in partition(teacher.architecture):
        start = cut_superlm(teacher, space, calibration_batches(text, 0, 1), plain)
        for length in (32, 128):
            settings = TrainingSettings(
                tokens=10**9, lengths=(length,), length_weights=(1.0,), start=plain
            )
            with tempfile.TemporaryDirectory() as folder:
                trainer = Trainer(teacher, space, start, text, settings, Path(folder))
                report(space.name, length, teacher, trainer, arguments.steps)
    print(f"\n{platform.machine()}, 1 thread, {os.cpu_count()} cores, {datetime.date.today()}")


def report(name: str, length: int, teacher: Teacher, trainer: Trainer, steps: int) -> None:
    """Time steps and their parts in turn, and print a row."""
    encoder = teacher_encoder(teacher)
    whole, parts = [], []
    for number in range(steps + 1):
        batch = trainer.sampler.batch(trainer.step)
        apart = run_teacher(encoder, teacher, batch)
        for student in trainer.sampler.students(trainer.step):
            apart += run_student(trainer, student, batch)
        trainer.superlm.zero_grad(set_to_none=False)
        together = seconds(trainer.train_step)
        if number:  # the first of each warms up
            whole.append(together)
            parts.append(apart)
    ratio = statistics.median(a / b for a, b in zip(whole, parts, strict=True))
    print(
        f"| {name} | {length} | {statistics.median(whole):.2f} | {statistics.median(parts):.2f} "
        f"| {ratio:.2f} |",
        flush=True,
    )


def run_teacher(encoder: ElasticEncoder, teacher: Teacher, batch: Batch) -> float:
    """Seconds of the teacher's bare forward."""
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        return seconds(lambda: encoder(batch.input_ids, batch.attention_mask, teacher.architecture))


def run_student(trainer: Trainer, student: Architecture, batch: Batch) -> float:
    """Seconds of a student's bare forward and backward, its loss a plain sum."""

    def run() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = trainer.superlm(batch.input_ids, batch.attention_mask, student)
        summed = output.hidden.sum() + output.queries.sum() + output.keys.sum()
        torch.autograd.backward(summed + output.values.sum())

    return seconds(run)


def seconds(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
