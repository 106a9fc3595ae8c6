"""What a search costs: scoring every student of a SuperLM, and answering a budget.

Scoring: the shared evaluation against slicing every student and running it alone, beside the
teacher's cached relations, beside its cached outputs, and beside the teacher itself, which is the
official code's way. In seconds of one thread's CPU time; batch by batch all take turns, so that
noise of the machine meets all. Prints the largest relative difference of the losses. Run by `make
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
from itertools import pairwise
from pathlib import Path

import torch

from autodistil.errors import InfeasibleBudget
from autodistil.evaluation.candidates import Candidate
from autodistil.evaluation.evaluation import evaluate_students, held_out_batches
from autodistil.evaluation.signals import Signals
from autodistil.models.elastic import ElasticEncoder
from autodistil.models.teacher import Teacher, load_teacher
from autodistil.quiet import quiet_transformers
from autodistil.search.budget import AXES, Budget
from autodistil.search.search import Entry, search
from autodistil.spaces.architecture import Architecture
from autodistil.spaces.cost import cost
from autodistil.spaces.partition import BERT_BASE, BERT_BASE_ENCODER, PRESETS
from autodistil.superlm.bundle import SuperLM, open_superlm
from autodistil.superlm.entries import entries_of
from autodistil.superlm.slicing import load_elastic, slice_student
from autodistil.text.corpus import Batch, tokenize_corpus
from autodistil.training.objective import losses, make_target
from autodistil.training.settings import ObjectiveSettings
from autodistil.training.start import teacher_encoder

SHARED, RELATIONS, OUTPUTS, OFFICIAL = "shared", "relations", "outputs", "official"
OBJECTIVE = ObjectiveSettings()


def main() -> None:
    """Print the tables."""
    quiet_transformers()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("build/corpus"))
    parser.add_argument("--rounds", type=int, default=1, help="of three batches each")
    parser.add_argument("--students", type=int, help="a sample instead of all of them")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    teacher = load_teacher(arguments.teacher)
    text = tokenize_corpus(arguments.corpus, teacher.tokenizer, arguments.cache).held_out
    batches = held_out_batches(text, rounds=arguments.rounds)
    print(
        "| SuperLM | students | shared s | alone, teacher's relations cached | teacher's outputs "
        "cached | teacher run each time (official) | largest relative difference |"
    )
    print("|---|---|---|---|---|---|---|")
    for path in arguments.bundles:
        superlm = open_superlm(path)
        students = list(superlm.spec.space.students())
        if arguments.students:
            students = students[:: max(1, len(students) // arguments.students)]
        report(superlm, students, teacher, batches)
    print(f"\n{sum(batch.tokens for batch in batches):,} held-out tokens in {len(batches)} batches")
    report_plans(arguments.bundles)
    print(f"\n{platform.machine()}, 1 thread, {os.cpu_count()} cores, {datetime.date.today()}")


def report(
    superlm: SuperLM, students: list[Architecture], teacher: Teacher, batches: list[Batch]
) -> None:
    """Score students in every way and print a row."""
    whole, encoder = load_elastic(superlm), teacher_encoder(teacher)
    seconds: dict[str, float] = defaultdict(float)
    slices = {}
    for student in students:
        start = time.process_time()
        slices[student] = alone(superlm, student)
        for way in (RELATIONS, OUTPUTS, OFFICIAL):
            seconds[way] += time.process_time() - start
    worst = 0.0
    for batch in batches:
        start = time.process_time()
        shared = evaluate_students(
            whole, students, encoder, teacher.architecture, [batch], OBJECTIVE
        )
        seconds[SHARED] += time.process_time() - start
        worst = max(worst, run_alone(slices, encoder, teacher, batch, shared, seconds))
    ratios = [
        f"{seconds[way]:.1f} s, {seconds[way] / seconds[SHARED]:.1f}x"
        for way in (RELATIONS, OUTPUTS, OFFICIAL)
    ]
    print(
        f"| {superlm.spec.reference} | {len(students)} | {seconds[SHARED]:.1f} | "
        f"{' | '.join(ratios)} | {worst:.1e} |",
        flush=True,
    )


def alone(superlm: SuperLM, student: Architecture) -> ElasticEncoder:
    """A student sliced out of its bundle."""
    layers = {student.layers: tuple(range(student.layers))}
    encoder = ElasticEncoder(slice_student(superlm, student), superlm.spec.encoder, layers)
    return encoder.requires_grad_(False).eval()


@torch.inference_mode()
def run_alone(
    slices: dict[Architecture, ElasticEncoder],
    encoder: ElasticEncoder,
    teacher: Teacher,
    batch: Batch,
    shared: dict[Architecture, Signals],
    seconds: dict[str, float],
) -> float:
    """Run every slice by itself and add up the seconds of each way; the largest difference."""
    given, worst = (batch.input_ids, batch.attention_mask), 0.0
    for student, sliced in slices.items():
        times = [time.process_time()]
        outputs = encoder(*given, teacher.architecture)
        times.append(time.process_time())
        target = make_target(OBJECTIVE, [outputs], batch.attention_mask)
        times.append(time.process_time())
        found = losses(OBJECTIVE, [sliced(*given, student)], target, batch.attention_mask)
        times.append(time.process_time())
        run, prepare, compare = (b - a for a, b in pairwise(times))
        first = student == next(iter(slices))  # of what is cached, the first one pays
        seconds[OFFICIAL] += run + prepare + compare
        seconds[OUTPUTS] += prepare + compare + run * first
        seconds[RELATIONS] += compare + (run + prepare) * first
        for here, there in (
            (shared[student].relation_loss, found.relation.item()),
            (shared[student].similarity_loss, found.similarity.item()),
        ):
            worst = max(worst, abs(here - there) / there)
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
                space,
                BERT_BASE_ENCODER,
                BERT_BASE.heads,
                Signals.model_validate({name: rng.random() for name in names}),
            ),
            teacher,
        )
        for space in PRESETS["bert-base-uncased"]
        for student in space.students()
    ]


if __name__ == "__main__":
    main()
