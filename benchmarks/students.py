"""What the benchmarks share: the students they look at, and STS-B straight from a SuperLM."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from autodistil.architecture import Architecture, SubSpace
from autodistil.downstream import stsb_spearman
from autodistil.elastic import ElasticEncoder, mean_pool
from autodistil.task_data import read_stsb
from autodistil.teacher import Teacher

Scorer = Callable[[ElasticEncoder, Architecture], float]
"""STS-B dev of a student of a SuperLM."""


def three(space: SubSpace) -> list[Architecture]:
    """Smallest, middle (the middle of every axis), and largest."""
    hidden = space.hidden[len(space.hidden) // 2]
    intermediate = hidden * space.ffn_percent[len(space.ffn_percent) // 2] // 100
    layers = space.layers[len(space.layers) // 2]
    same = [
        student
        for student in space.students()
        if (student.layers, student.hidden, student.intermediate) == (layers, hidden, intermediate)
    ]
    return [space.smallest, same[len(same) // 2], space.largest]


def stsb_scorer(teacher: Teacher, data: Path) -> Scorer:
    """A function that scores a student in place, without extraction, on STS-B dev."""
    pairs = read_stsb(data)
    texts = pairs.first + (pairs.second or [])
    ids = teacher.tokenizer(texts, truncation=True, max_length=128)["input_ids"]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    padding = teacher.encoder.pad_token_id

    @torch.inference_mode()
    def score(superlm: ElasticEncoder, student: Architecture) -> float:
        vectors = torch.empty(len(ids), student.hidden)
        for start in range(0, len(order), 64):
            chosen = order[start : start + 64]
            rows = [torch.tensor(ids[i]) for i in chosen]
            batch = torch.nn.utils.rnn.pad_sequence(rows, True, padding)
            mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(r) for r in rows], True)
            vectors[chosen] = mean_pool(superlm(batch, mask, student).hidden.float(), mask)
        found: Callable[[list[str]], Tensor] = lambda texts: vectors  # noqa: E731
        return stsb_spearman(found, pairs)

    return score
