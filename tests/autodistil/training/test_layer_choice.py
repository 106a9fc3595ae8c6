from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from autodistil.errors import InvalidInput
from autodistil.models.teacher import Teacher, load_teacher
from autodistil.text.corpus import Batch, Corpus
from autodistil.training.layer_choice import order_layers
from autodistil.training.settings import StartSettings
from autodistil.training.start import calibration_batches, cut_superlm, teacher_encoder
from tests.factories import STOCK_SPACE, write_embedder, write_teacher
from tests.ranks import ROUNDING


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    folder = write_teacher(tmp_path_factory.mktemp("deep"), num_hidden_layers=12)
    return load_teacher(str(folder))


def order(teacher: Teacher, batches: list[Batch], layers: str | list[int]) -> list[int]:
    settings = StartSettings.model_validate({"layers": layers})
    encoder = teacher_encoder(teacher)
    given = (encoder, teacher.architecture, batches, teacher.sentence_vectors)
    return order_layers(settings, *given)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("first", [11, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        ("spaced", [11, 0, 5, 8, 2, 1, 3, 4, 6, 7, 9, 10]),
    ],
)
def test_fixed_orders(layers: str, expected: list[int], deep: Teacher) -> None:
    assert order(deep, [], layers) == expected


def test_layers_can_be_named_the_most_needed_first(deep: Teacher) -> None:
    for named in ([11, 3, 7], [11], [11, *range(11)]):
        assert order(deep, [], named) == named


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ([11, 3, 3], "must be different layers from 0 to 11"),
        ([11, 12], "must be different layers from 0 to 11"),
        ([11, -1], "must be different layers from 0 to 11"),
        ([3, 11], "must begin with the layers that all students keep: 11"),
        ([], "must begin with the layers that all students keep: 11"),
    ],
)
def test_layers_that_cannot_be_named_are_refused(
    layers: list[int], reason: str, deep: Teacher
) -> None:
    with pytest.raises(InvalidInput, match=reason):
        order(deep, [], layers)


def test_named_layers_are_those_that_a_superlm_stores(deep: Teacher, corpus: Corpus) -> None:
    settings = StartSettings(layers=(11, 2, 6), least_squares=False)
    batches = calibration_batches(corpus.train, 0, 1)
    start = cut_superlm(deep, STOCK_SPACE, batches, settings)
    assert start.teacher_layers == (2, 6, 11)
    assert start.kept_layers == {2: (0, 2), 3: (0, 1, 2)}
    with pytest.raises(InvalidInput, match=r"start\.layers must name 3 layers at least"):
        cut_superlm(deep, STOCK_SPACE, batches, StartSettings(layers=(11, 2)))


@pytest.fixture(scope="module", params=["none", "cls", "dense"])
def ranked(
    request: pytest.FixtureRequest, deep: Teacher, tmp_path_factory: pytest.TempPathFactory
) -> Teacher:
    """Teachers with sentence vectors of several kinds."""
    if request.param == "none":
        return deep
    folder = tmp_path_factory.mktemp(request.param) / "teacher"
    pooling, dense = {"cls": ("cls", None), "dense": ("max", 8)}[request.param]
    return load_teacher(
        str(write_embedder(folder, pooling=pooling, dense=dense, num_hidden_layers=6))
    )


@torch.no_grad()
def test_the_measured_order_is_that_of_running_every_choice_whole(
    ranked: Teacher, corpus: Corpus
) -> None:
    deep, count = ranked, ranked.architecture.layers
    batches = calibration_batches(corpus.train, 0, 2)
    encoder = teacher_encoder(deep)

    def vectors(layers: list[int], batch: Batch) -> torch.Tensor:
        encoder.kept_layers[len(layers)] = tuple(layers)
        student = deep.architecture.model_copy(update={"layers": len(layers)})
        hidden = encoder(batch.input_ids, batch.attention_mask, student).hidden
        found = deep.sentence_vectors(hidden, batch.attention_mask)
        return found - found.mean(0)

    found = order(deep, batches, "measured")
    assert sorted(found) == list(range(count))
    assert found[0] == count - 1
    wanted = [vectors(list(range(count)), batch) for batch in batches]
    for kept_first in range(count, 1, -1):
        kept = sorted(found[:kept_first])
        dropped = found[kept_first - 1]

        def agreement(layer: int, kept: list[int] = kept) -> float:
            rest = [other for other in kept if other != layer]
            pairs = zip(batches, wanted, strict=True)
            return sum(float(F.cosine_similarity(vectors(rest, b), w).mean()) for b, w in pairs)

        best = max(agreement(layer) for layer in kept[:-1])
        # Of two layers that are as good, rounding may choose either.
        assert agreement(dropped) == pytest.approx(best, abs=ROUNDING)


def test_depths_are_nested(deep: Teacher, corpus: Corpus) -> None:
    found = order(deep, calibration_batches(corpus.train, 0, 1), "measured")
    for less, more in pairwise(range(1, 13)):
        assert set(found[:less]) < set(found[:more])
