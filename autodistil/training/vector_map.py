"""The linear map from a student's pooled vector to the teacher's, in closed form.

While a SuperLM is trained, all its students share one map and use the columns of their channels; it
starts here. Afterwards every depth and width gets a map of its own, which is worth some tenths of a
point and costs a student nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from autodistil.families.architecture import Architecture
from autodistil.models.elastic import ElasticEncoder
from autodistil.models.sentence_vectors import TRAINED_MAP, pool
from autodistil.spaces.embedding import Pooling, SentenceEmbedding
from autodistil.spaces.map_tensors import map_name
from autodistil.spaces.sub_space import SubSpace
from autodistil.text.corpus import Batch
from autodistil.training.shared_regression import MatrixRegression

_RIDGE = 1e-3
"""Pull towards the map that is there, as a share of the mean second moment of the inputs."""

Sample = tuple[Batch, Tensor]
"""A batch in a student's tokens, and the teacher's vectors of length 1, [rows, width]."""


def needs_map(space: SubSpace, embedding: SentenceEmbedding) -> bool:
    """Whether students need a map: not if all of them are as wide as the vectors that their teacher
    pools, since their channels then stay in the teacher's order.
    """
    return embedding.projected or space.hidden != (embedding.width,)


@torch.no_grad()
def shared_map(
    superlm: ElasticEncoder,
    students: Iterable[Architecture],
    samples: Sequence[Sample],
    embedding: SentenceEmbedding,
    channels: Sequence[int],
) -> dict[str, Tensor]:
    """The map that all students share while they are trained.

    Args:
        superlm: The SuperLM, without a map.
        students: Students that stand for all.
        samples: Text in the tokens that all of them read.
        embedding: How the teacher embeds.
        channels: The teacher's channel for every channel of the SuperLM.

    Returns:
        Weight [width, hidden] and bias [width], by their names.
    """
    problem = MatrixRegression()
    size = 0.0
    for student in students:
        for pooled, wanted in _pooled(superlm, student, samples, embedding.pooling):
            problem.add(pooled, wanted)
            size = max(size, float(pooled.norm(dim=-1).mean()))
    width = embedding.width
    weight = torch.zeros(width, len(channels))
    if not embedding.projected:  # what is not known better: a kept channel is the teacher's
        weight[torch.tensor(channels), torch.arange(len(channels))] = 1 / size
    bias = torch.zeros(width)
    problem.solve(weight, bias, _RIDGE)
    return {f"{TRAINED_MAP}.weight": weight, f"{TRAINED_MAP}.bias": bias}


def mapped_students(space: SubSpace, most: int = 4) -> list[Architecture]:
    """Some students of every depth and width, at equal distances in their order; those of a depth
    and width one after another, as `own_maps` takes them.

    Args:
        space: The sub-space.
        most: How many of a depth and width at most.
    """
    alike: dict[str, list[Architecture]] = {}
    for student in space.students():
        alike.setdefault(map_name(student), []).append(student)
    chosen = []
    for group in alike.values():
        places = np.linspace(0, len(group) - 1, min(most, len(group)))
        chosen += [group[int(place)] for place in places]
    return chosen


@torch.no_grad()
def own_maps(
    superlm: ElasticEncoder,
    students: Iterable[Architecture],
    samples_of: Callable[[Architecture], Iterable[Sample]],
    pooling: Pooling,
) -> dict[str, Tensor]:
    """A map for every depth and width, solved for all its students together.

    Args:
        superlm: The trained SuperLM with the map that all share.
        students: The students; those of a depth and width one after another.
        samples_of: Text in the tokens of a student.
        pooling: How the teacher pools.

    Returns:
        Weights [width, hidden] and biases [width], by their names.
    """
    tensors = superlm.tensors()
    shared, bias = tensors[f"{TRAINED_MAP}.weight"], tensors[f"{TRAINED_MAP}.bias"]
    found: dict[str, Tensor] = {}
    for name, members in groupby(students, map_name):
        problem, hidden = MatrixRegression(), 0
        for student in members:
            hidden = student.hidden
            for pooled, wanted in _pooled(superlm, student, samples_of(student), pooling):
                problem.add(pooled, wanted)
        weight, own_bias = shared[:, :hidden].clone(), bias.clone()
        problem.solve(weight, own_bias, _RIDGE)
        found |= {f"{name}.weight": weight, f"{name}.bias": own_bias}
    return found


def _pooled(
    superlm: ElasticEncoder, student: Architecture, samples: Iterable[Sample], pooling: Pooling
) -> Iterator[tuple[Tensor, Tensor]]:
    for batch, wanted in samples:
        hidden = superlm(batch.input_ids, batch.attention_mask, student).hidden
        yield pool(hidden, batch.attention_mask, pooling), F.normalize(wanted.float(), dim=-1)
