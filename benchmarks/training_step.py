"""A training step against the sum of its bare parts, in one run: a Markdown table.

Bare parts: for each student of the step its forward on its own batch and the backward of a plain
sum. What is left is the step's own: reading the batches, the vectors and the losses, clipping, the
optimizer. Each step runs twice: the first time, the teacher's vectors of its passages are worked
out; later passes over a text find them. Parts and step take turns on the same batches, so that
noise of the machine meets both. Run by `make bench-train`.
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

from autodistil.families.architecture import Architecture
from autodistil.models.teacher import Teacher, load_teacher, trim_teacher
from autodistil.quiet import quiet_transformers
from autodistil.spaces.sub_space import SubSpace
from autodistil.text.corpus import Batch
from autodistil.text.mixed_sources import open_corpus
from autodistil.text.vocabulary_texts import read_texts
from autodistil.training.precision import uses_bf16
from autodistil.training.settings import EMBEDDER_DEFAULTS, StartSettings, TrainingSettings
from autodistil.training.start import load_or_cut
from autodistil.training.trainer import Trainer

LENGTHS = (32, 128)
SPACES = sorted((Path(__file__).parents[1] / "docs" / "recipes").glob("*.space.json"))
PLAIN = StartSettings(least_squares=False, layers="spaced", calibration_batches=1)


def main() -> None:
    """Print the table."""
    quiet_transformers()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--corpus", nargs="+", required=True)
    parser.add_argument("--spaces", type=Path, nargs="+", default=SPACES)
    parser.add_argument("--cache", type=Path, default=Path("build/corpus"))
    parser.add_argument("--steps", type=int, default=8)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    teacher = load_teacher(arguments.teacher)
    if teacher.embedding is None:
        parser.error("the teacher must be a sentence embedder")
    print(
        "| sub-space | passages of up to | step s | bare parts s | ratio (median of the steps') | "
        "with the teacher's vectors to work out |"
    )
    print("|---|---|---|---|---|---|")
    for path in arguments.spaces:
        space = SubSpace.model_validate_json(path.read_text())
        for length in LENGTHS:
            with tempfile.TemporaryDirectory() as folder:
                trainer = make_trainer(teacher, space, length, arguments, Path(folder))
                report(space.name, length, trainer, arguments.steps)
    print(f"\n{platform.machine()}, 1 thread, {os.cpu_count()} cores, {datetime.date.today()}")


def make_trainer(
    teacher: Teacher, space: SubSpace, length: int, arguments: argparse.Namespace, folder: Path
) -> Trainer:
    """A training from a plain cut, in passages of one length."""
    source = open_corpus(arguments.corpus)
    texts = read_texts(source, teacher.tokenizer, space.vocab, arguments.cache)
    settings = TrainingSettings.model_validate(
        {
            **EMBEDDER_DEFAULTS,
            "tokens": 10**9,
            "lengths": (length,),
            "length_weights": (1.0,),
            "start": PLAIN,
        }
    )
    cut_from = trim_teacher(teacher, texts.kept, texts.tokenizer) if texts.kept else teacher
    start = load_or_cut(folder / "start", "", cut_from, space, texts.largest.train, PLAIN)
    return Trainer(teacher, space, start, texts, settings, folder)


def report(name: str, length: int, trainer: Trainer, steps: int) -> None:
    """Time steps and their parts in turn, and print a row."""
    new, known, parts = [], [], []
    for number in range(steps + 1):
        step = trainer.step
        apart = 0.0
        for task in trainer.sampler.tasks(step):
            for student in task.students:
                batch = trainer.sampler.read(task.passages, student.vocab)
                apart += run_student(trainer, student, batch)
        trainer.superlm.zero_grad(set_to_none=False)
        first = seconds(trainer.train_step)
        trainer.step = step
        again = seconds(trainer.train_step)
        if number:  # the first of each warms up
            new.append(first)
            known.append(again)
            parts.append(apart)
    ratio = statistics.median(a / b for a, b in zip(known, parts, strict=True))
    print(
        f"| {name} | {length} | {statistics.median(known):.2f} | {statistics.median(parts):.2f} "
        f"| {ratio:.2f} | {statistics.median(new):.2f} s |",
        flush=True,
    )


def run_student(trainer: Trainer, student: Architecture, batch: Batch) -> float:
    """Seconds of a student's bare forward and backward, its loss a plain sum."""
    bf16 = uses_bf16("auto", batch.input_ids.device)

    def run() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            output = trainer.superlm(batch.input_ids, batch.attention_mask, student)
        torch.autograd.backward(output.hidden.sum())

    return seconds(run)


def seconds(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
