"""What the benchmarks share: the students they look at, and STS-B straight from a SuperLM."""

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from autodistil.downstream.embedder import PoolingEmbedder
from autodistil.downstream.task_data import read_stsb
from autodistil.downstream.zero_shot import stsb_spearman
from autodistil.models.elastic import ElasticEncoder, LayerOutput
from autodistil.models.teacher import Teacher
from autodistil.spaces.architecture import Architecture, SubSpace

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


def student_embedder(
    superlm: ElasticEncoder, student: Architecture, tokenizer: PreTrainedTokenizerBase
) -> PoolingEmbedder:
    """Sentence vectors of a student in place, without extraction."""

    def hidden_states(tokens: Mapping[str, Tensor]) -> Tensor:
        output: LayerOutput = superlm(tokens["input_ids"], tokens["attention_mask"], student)
        return output.hidden

    return PoolingEmbedder(hidden_states, tokenizer)


def stsb_scorer(teacher: Teacher, data: Path) -> Scorer:
    """A function that scores a student in place, without extraction, on STS-B dev."""
    pairs = read_stsb(data)

    def score(superlm: ElasticEncoder, student: Architecture) -> float:
        return stsb_spearman(student_embedder(superlm, student, teacher.tokenizer), pairs)

    return score
