"""What a search costs: scoring every student of a SuperLM, and answering a budget.

Scoring: the shared evaluation against slicing every student and running it alone, beside the
teacher's cached vectors, and beside the teacher itself, which is the official code's way. In
seconds of one thread's CPU time; batch by batch all take turns, so that noise of the machine meets
all. Prints the largest difference of the distances to the teacher's vectors. Run by `make
bench-search`.
"""

import argparse
import datetime
import os
import platform
import random
import statistics
import time
from collections import defaultdict
from pathlib import Path

import torch

from autodistil.errors import InfeasibleBudget
from autodistil.evaluation.candidate_table import measured_teacher, objective_of
from autodistil.evaluation.candidates import Candidate
from autodistil.evaluation.comparison import SentenceComparison
from autodistil.evaluation.held_out_text import NEIGHBOURS, HeldOutText
from autodistil.evaluation.signals import Signals
from autodistil.evaluation.students import MeasuredTeacher, evaluate_students
from autodistil.families.architecture import Architecture
from autodistil.models.elastic import ElasticEncoder
from autodistil.models.teacher import Teacher, load_teacher
from autodistil.quiet import quiet_transformers
from autodistil.search.budget import AXES, Budget
from autodistil.search.choice import search
from autodistil.search.entry import Entry
from autodistil.spaces.cost import cost
from autodistil.spaces.map_tensors import map_name
from autodistil.spaces.partition import BERT_BASE, BERT_BASE_ENCODER, PRESETS
from autodistil.superlm.bundle import SuperLM, open_superlm
from autodistil.superlm.entries import entries_of
from autodistil.superlm.rescoring import read_held_out
from autodistil.superlm.slicing import load_elastic, slice_map, slice_student
from autodistil.text.mixed_sources import open_corpus
from autodistil.training.settings import ObjectiveSettings

SHARED, CACHED, OFFICIAL = "shared", "cached", "official"


def main() -> None:
    """Print the tables."""
    quiet_transformers()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--corpus", nargs="+", required=True)
    parser.add_argument("--cache", type=Path, default=Path("build/corpus"))
    parser.add_argument("--batches", type=int, default=3, help="of held-out text")
    parser.add_argument("--students", type=int, help="a sample instead of all of them")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    teacher = load_teacher(arguments.teacher)
    if teacher.embedding is None:
        parser.error("the teacher must be a sentence embedder")
    source = open_corpus(arguments.corpus)
    print(
        "| SuperLM | students | held-out tokens | shared s | alone, teacher's vectors cached | "
        "teacher run each time (official) | largest difference of a distance |"
    )
    print("|---|---|---|---|---|---|---|")
    for path in arguments.bundles:
        superlm = open_superlm(path)
        students = list(superlm.spec.space.students())
        if arguments.students:
            students = students[:: max(1, len(students) // arguments.students)]
        text = read_held_out(superlm, teacher, source, arguments.cache)
        report(superlm, students, teacher, text, arguments.batches)
    report_plans(arguments.bundles)
    print(f"\n{platform.machine()}, 1 thread, {os.cpu_count()} cores, {datetime.date.today()}")


def report(
    superlm: SuperLM,
    students: list[Architecture],
    teacher: Teacher,
    text: HeldOutText,
    batches: int,
) -> None:
    """Score students in every way and print a row."""
    whole, measured = load_elastic(superlm), measured_teacher(teacher)
    objective = objective_of(superlm.spec)
    seconds: dict[str, float] = defaultdict(float)
    slices = {}
    for student in students:
        start = time.process_time()
        slices[student] = alone(superlm, student)
        for way in (CACHED, OFFICIAL):
            seconds[way] += time.process_time() - start
    worst, tokens = 0.0, 0
    for number in range(min(batches, len(text.own))):
        by_vocab = {vocab: [found[number]] for vocab, found in text.by_vocab.items()}
        one = HeldOutText([text.own[number]], by_vocab)
        start = time.process_time()
        shared = evaluate_students(whole, students, measured, one, objective)
        seconds[SHARED] += time.process_time() - start
        worst = max(worst, run_alone(slices, measured, one, objective, shared, seconds))
        tokens += one.tokens
    ratios = [
        f"{seconds[way]:.1f} s, {seconds[way] / seconds[SHARED]:.1f}x" for way in (CACHED, OFFICIAL)
    ]
    print(
        f"| {superlm.spec.reference} | {len(students)} | {tokens:,} | {seconds[SHARED]:.1f} | "
        f"{' | '.join(ratios)} | {worst:.1e} |",
        flush=True,
    )


def alone(superlm: SuperLM, student: Architecture) -> ElasticEncoder:
    """A student sliced out of its bundle, with its map."""
    layers = {student.layers: tuple(range(student.layers))}
    tensors = slice_student(superlm, student)
    for name, tensor in (slice_map(superlm, student) or {}).items():
        tensors[f"{map_name(student)}.{name.removeprefix('linear.')}"] = tensor
    encoder = ElasticEncoder(tensors, superlm.spec.stored_encoder, layers)
    return encoder.requires_grad_(False).eval()


@torch.inference_mode()
def run_alone(
    slices: dict[Architecture, ElasticEncoder],
    teacher: MeasuredTeacher,
    text: HeldOutText,
    objective: ObjectiveSettings,
    shared: dict[Architecture, Signals],
    seconds: dict[str, float],
) -> float:
    """Run every slice by itself and add up the seconds of each way; the largest difference."""
    (own,), worst = text.own, 0.0
    for student, sliced in slices.items():
        (batch,) = text.by_vocab[student.vocab]
        start = time.process_time()
        wanted = teacher.encoder.vectors(
            own.input_ids, own.attention_mask, teacher.architecture, teacher.pooling
        )
        target = SentenceComparison(wanted, objective.temperature, NEIGHBOURS)
        prepared = time.process_time()
        vectors = sliced.vectors(batch.input_ids, batch.attention_mask, student, teacher.pooling)
        found = target.compare(vectors, in_teacher_space=True)
        done = time.process_time()
        seconds[OFFICIAL] += done - start
        seconds[CACHED] += done - prepared
        if student == next(iter(slices)):  # of what is cached, the first one pays
            seconds[CACHED] += prepared - start
        distance = shared[student].vector_distance
        assert distance is not None
        worst = max(worst, abs(distance - found["vector_distance"]))
    return worst


def report_plans(bundles: list[Path]) -> None:
    """Time answers to budgets, over the bundles and over 768 made-up students besides."""
    entries = entries_of(map(open_superlm, bundles))
    print("\n| candidates | budgets | p50 ms | p90 ms | largest ms |\n|---|---|---|---|---|")
    for candidates in (entries, entries + made_up_entries()):
        rng = random.Random(0)
        times: dict[str, list[float]] = {"feasible": [], "infeasible": []}
        for _ in range(1000):
            amounts = {a: f"{100 * 10 ** rng.uniform(-2.5, 0):.4f}%" for a in AXES}
            budget = Budget.model_validate(dict(rng.sample(list(amounts.items()), 2)))
            start, outcome = time.perf_counter(), "feasible"
            try:
                search(candidates, budget)
            except InfeasibleBudget:
                outcome = "infeasible"
            times[outcome].append((time.perf_counter() - start) * 1000)
        for outcome, found in times.items():
            p90 = statistics.quantiles(found, n=10)[-1]
            print(
                f"| {len(candidates)} | {len(found)} {outcome} | {statistics.median(found):.2f} | "
                f"{p90:.2f} | {max(found):.2f} |"
            )


def made_up_entries() -> list[Entry]:
    """The 768 students of the paper's three spaces, with signals at random."""
    rng, teacher = random.Random(0), cost(BERT_BASE, BERT_BASE_ENCODER, BERT_BASE.heads)
    names = list(Signals.model_fields)
    return [
        Entry(
            f"made-up-{space.name}@1",
            Candidate.build(
                student,
                space.name,
                cost(student, BERT_BASE_ENCODER, BERT_BASE.heads),
                Signals.model_validate({name: rng.random() for name in names}),
            ),
            teacher,
        )
        for space in PRESETS["bert-base-uncased"]
        for student in space.students()
    ]


if __name__ == "__main__":
    main()
