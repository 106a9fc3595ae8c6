"""STS-B of three students of each SuperLM, untrained and trained: a Markdown table.

    python benchmarks/stsb_table.py BUNDLE... --teacher FOLDER --data GLUE-FOLDER --corpus FOLDER

Spearman's correlation, without fine-tuning, of the cosines of mean-pooled vectors with people's
judgement, and with the teacher's cosines of the same pairs. Untrained is the SuperLM at step 0,
made anew by the settings in the bundle. Run by `make stsb`.
"""

import argparse
import datetime
import platform
from pathlib import Path

import numpy as np
import torch

from autodistil.downstream.embedder import Embedder
from autodistil.downstream.metrics import spearman
from autodistil.downstream.task_data import Examples, read_stsb
from autodistil.models.elastic import ElasticEncoder
from autodistil.models.teacher import load_teacher
from autodistil.quiet import quiet_transformers
from autodistil.superlm.bundle import open_superlm
from autodistil.superlm.slicing import load_elastic
from autodistil.text.corpus import tokenize_corpus
from autodistil.training.settings import TrainingSettings
from autodistil.training.start import load_or_cut, teacher_encoder
from students import student_embedder, three

CACHE = Path("build/stsb")


def main() -> None:
    """Print the table."""
    quiet_transformers()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    arguments = parser.parse_args()
    pairs, teacher = read_stsb(arguments.data), load_teacher(arguments.teacher)
    corpus = tokenize_corpus(arguments.corpus, teacher.tokenizer, CACHE / "corpus")
    encoder = teacher_encoder(teacher)
    wanted = cosines(student_embedder(encoder, teacher.architecture, teacher.tokenizer), pairs)
    labels = np.array(pairs.labels)
    print(f"Teacher {spearman(wanted, labels):.4f}\n")
    print("| student | of | MACs | params | with people, untrained | trained ", end="")
    print("| with the teacher, untrained | trained |\n|---|---|---|---|---|---|---|---|")
    for superlm in map(open_superlm, arguments.bundles):
        settings = TrainingSettings.model_validate(superlm.spec.provenance.settings)
        start = load_or_cut(
            CACHE / f"{superlm.spec.reference}.safetensors",
            f"{settings.start} {settings.seed} {superlm.spec.space}",
            teacher,
            superlm.spec.space,
            corpus.train,
            settings.start,
            settings.seed,
        )
        encoders = [
            ElasticEncoder(start.tensors, teacher.encoder, start.kept_layers).eval(),
            load_elastic(superlm),
        ]
        for student in three(superlm.spec.space):
            row = next(c for c in superlm.candidates if c.architecture == student)
            found = [
                cosines(student_embedder(encoder, student, teacher.tokenizer), pairs)
                for encoder in encoders
            ]
            cells = [f"{spearman(f, target):.4f}" for target in (labels, wanted) for f in found]
            print(
                f"| {student.name} | {superlm.spec.reference} | {row.macs:,} | {row.params:,} "
                f"| {' | '.join(cells)} |",
                flush=True,
            )
    print(f"\n{platform.machine()}, {datetime.date.today()}, {len(pairs):,} pairs")


def cosines(embedder: Embedder, pairs: Examples) -> np.ndarray:
    """Cosines of the pairs, [pairs]."""
    first, second = (
        torch.from_numpy(embedder.encode(texts)) for texts in (pairs.first, pairs.second or [])
    )
    return torch.cosine_similarity(first, second).double().numpy()


if __name__ == "__main__":
    main()
