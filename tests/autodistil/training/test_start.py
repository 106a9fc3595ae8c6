from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from autodistil.models.elastic import ElasticEncoder
from autodistil.models.teacher import Teacher
from autodistil.spaces.sub_space import SubSpace
from autodistil.text.corpus import Batch, Corpus
from autodistil.training.importance import measure_importance, order_channels
from autodistil.training.settings import ChannelMeasure, StartSettings
from autodistil.training.start import (
    Start,
    calibration_batches,
    cut_superlm,
    load_or_cut,
    teacher_encoder,
)
from tests.autodistil.training.cuts import FULL, PLAIN, REORDERED, channel_order
from tests.factories import FREE_SPACE, STOCK_SPACE, random_batch
from tests.ranks import ROUNDING


def planted(teacher: Teacher, **changes: Tensor) -> Teacher:
    """The teacher with some tensors replaced, keys being names with `/` for dots."""
    tensors = {name: tensor.clone() for name, tensor in teacher.tensors.items()}
    return replace(teacher, tensors=tensors | changes)


def test_the_permuted_teacher_at_full_size_is_the_teacher(
    teacher: Teacher, calibration: list[Batch]
) -> None:
    start = cut_superlm(teacher, REORDERED, calibration, PLAIN)
    order = channel_order(teacher, start)
    assert sorted(order.tolist()) == list(range(64))
    assert order.tolist() != list(range(64))
    batch = random_batch(teacher.encoder.vocab_size, tokens=30)
    superlm = ElasticEncoder(start.tensors, teacher.encoder, start.kept_layers)
    found = superlm(batch.input_ids, batch.attention_mask, REORDERED.largest).hidden
    expected = teacher_encoder(teacher)(
        batch.input_ids, batch.attention_mask, teacher.architecture
    ).hidden
    valid = batch.attention_mask.bool()
    assert (found - expected[..., order])[valid].abs().max() < 1e-5
    pooled, wanted = (
        torch.tanh(hidden[:, 0] @ tensors["pooler.dense.weight"].T + tensors["pooler.dense.bias"])
        for hidden, tensors in ((found, start.tensors), (expected, teacher.tensors))
    )
    assert (pooled - wanted[:, order]).abs().max() < 1e-5


def test_heads_and_neurons_are_reordered_and_keep_their_width(
    teacher: Teacher, calibration: list[Batch]
) -> None:
    start = cut_superlm(teacher, FULL, calibration, PLAIN)
    for layer in range(4):
        name = f"encoder.layer.{layer}.attention.self.query.bias"
        theirs = teacher.tensors[name].view(4, 16)
        ours = start.tensors[name].view(4, 16)
        assert {tuple(row.tolist()) for row in ours} == {tuple(row.tolist()) for row in theirs}
        name = f"encoder.layer.{layer}.intermediate.dense.bias"
        assert start.tensors[name].sort().values.equal(teacher.tensors[name].sort().values)
        assert not start.tensors[name].equal(teacher.tensors[name])


def test_channels_come_by_falling_mean_magnitude_after_every_layer_norm(
    teacher: Teacher, teacher_folder: str, calibration: list[Batch]
) -> None:
    from transformers import BertModel

    model = BertModel.from_pretrained(teacher_folder).eval()
    sums = torch.zeros(64)
    valid = torch.empty(0)

    def add(module: object, arguments: object, output: Tensor) -> None:
        sums.add_(output[valid].abs().sum(0))

    norms = [module for name, module in model.named_modules() if name.endswith("LayerNorm")]
    assert len(norms) == 1 + 2 * 4
    for norm in norms:
        norm.register_forward_hook(add)
    with torch.no_grad():
        for batch in calibration:
            valid = batch.attention_mask.bool()
            model(batch.input_ids, batch.attention_mask)
    order = channel_order(teacher, cut_superlm(teacher, REORDERED, calibration, PLAIN))
    ranked = sums[order]
    assert (ranked[:-1] >= ranked[1:] * (1 - ROUNDING)).all()


def test_dead_heads_neurons_and_channels_are_what_a_narrow_student_loses(
    teacher: Teacher, calibration: list[Batch]
) -> None:
    changed = planted(teacher)
    dead_head, dead_neurons, dead_channels = 1, torch.arange(0, 256, 3), torch.arange(2, 64, 2)
    for name, tensor in changed.tensors.items():
        if name.endswith("attention.output.dense.weight"):
            tensor[:, dead_head * 16 : (dead_head + 1) * 16] = 0
        elif name.endswith(".output.dense.weight"):
            tensor[:, dead_neurons] = 0
        elif "LayerNorm" in name:
            tensor[dead_channels] *= 1e-3
    space = FREE_SPACE.model_copy(
        update={"layers": (4,), "heads": (3,), "hidden": (32,), "ffn_percent": (500,)}
    )
    start = cut_superlm(changed, space, calibration, PLAIN)
    dead = set(changed.tensors["embeddings.LayerNorm.bias"][dead_channels].tolist())
    assert not dead & set(start.tensors["embeddings.LayerNorm.bias"].tolist())
    for layer in range(4):
        name = f"encoder.layer.{layer}.attention.self.key.bias"
        dead = set(changed.tensors[name][dead_head * 16 : (dead_head + 1) * 16].tolist())
        assert not dead & set(start.tensors[name].tolist())
        name = f"encoder.layer.{layer}.intermediate.dense.bias"
        dead = set(changed.tensors[name][dead_neurons].tolist())
        assert not dead & set(start.tensors[name].tolist())
        assert len(start.tensors[name]) == 160


def test_a_layer_that_changes_nothing_is_dropped_first(
    teacher: Teacher, calibration: list[Batch]
) -> None:
    changed = planted(teacher)
    for name, tensor in changed.tensors.items():
        if name.startswith("encoder.layer.1."):
            if ".output.dense." in name:
                tensor.zero_()
            if "LayerNorm" in name:
                tensor.fill_(float("weight" in name))
        if name.startswith("encoder.layer.0.output.LayerNorm"):
            tensor.fill_(float("weight" in name))
    start = cut_superlm(changed, STOCK_SPACE, calibration, PLAIN)
    assert start.teacher_layers == (0, 2, 3)


@pytest.mark.parametrize("space", [STOCK_SPACE, FREE_SPACE])
def test_kept_layers_are_nested_and_hold_the_last(
    space: SubSpace, teacher: Teacher, calibration: list[Batch]
) -> None:
    every_depth = space.model_copy(update={"layers": (1, 2, 3)})
    start = cut_superlm(teacher, every_depth, calibration, PLAIN)
    assert list(start.kept_layers) == [1, 2, 3]
    for depth, layers in start.kept_layers.items():
        assert len(layers) == depth
        assert list(layers) == sorted(layers)
        assert layers[-1] == 2
    for less, more in pairwise(start.kept_layers.values()):
        assert set(less) < set(more)
    assert start.teacher_layers[-1] == 3
    assert list(start.teacher_layers) == sorted(set(start.teacher_layers))
    expected = teacher.encoder.shapes(every_depth.largest)
    assert {name: tuple(t.shape) for name, t in start.tensors.items()} == expected


def test_stored_layers_come_from_the_teacher_layers_they_name(
    teacher: Teacher, calibration: list[Batch]
) -> None:
    start = cut_superlm(teacher, STOCK_SPACE, calibration, PLAIN)
    for stored, layer in enumerate(start.teacher_layers):
        part = "intermediate.dense.bias"
        theirs = set(teacher.tensors[f"encoder.layer.{layer}.{part}"].tolist())
        assert set(start.tensors[f"encoder.layer.{stored}.{part}"].tolist()) <= theirs


def test_the_start_shares_no_memory_with_the_teacher(
    teacher: Teacher, calibration: list[Batch]
) -> None:
    before = {name: tensor.clone() for name, tensor in teacher.tensors.items()}
    start = cut_superlm(teacher, FULL, calibration, PLAIN)
    for tensor in start.tensors.values():
        tensor.zero_()
    assert all(torch.equal(before[name], tensor) for name, tensor in teacher.tensors.items())


def test_calibration_is_the_same_for_the_same_seed(corpus: Corpus) -> None:
    first, again, other = (calibration_batches(corpus.train, seed) for seed in (0, 0, 1))
    assert all(torch.equal(a.input_ids, b.input_ids) for a, b in zip(first, again, strict=True))
    assert not all(
        a.input_ids.shape == b.input_ids.shape and torch.equal(a.input_ids, b.input_ids)
        for a, b in zip(first, other, strict=True)
    )
    assert 4_000 < sum(batch.tokens for batch in first) <= 8 * 64 * 32


@pytest.mark.parametrize("measure", ["magnitude", "none", "variance", "columns"])
def test_the_covariance_is_measured_only_for_those_who_ask_for_it(
    measure: ChannelMeasure, teacher: Teacher, calibration: list[Batch]
) -> None:
    encoder, sizes = teacher_encoder(teacher), teacher.architecture
    importance = measure_importance(encoder, sizes, calibration, measure)
    assert (importance.covariance is not None) == (measure in ("variance", "columns"))
    assert sorted(order_channels(importance, measure).tolist()) == list(range(64))
    if importance.covariance is None:
        with pytest.raises(ValueError, match="covariance"):
            order_channels(importance, "columns")


def test_progress_is_told_of_every_corrected_matrix(
    teacher: Teacher, calibration: list[Batch]
) -> None:
    calls: list[tuple[int, int]] = []

    def on_progress(done: int, total: int) -> None:
        calls.append((done, total))

    cut_superlm(teacher, STOCK_SPACE, calibration, StartSettings(), on_progress)
    assert calls == [(done, 3 * 6) for done in range(1, 3 * 6 + 1)]
    calls.clear()
    cut_superlm(teacher, STOCK_SPACE, calibration, PLAIN, on_progress)
    assert calls == [(1, 1)]


def test_a_saved_start_is_read_and_one_of_other_making_is_cut_anew(
    teacher: Teacher, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuts: list[SubSpace] = []

    def counted(teacher: Teacher, space: SubSpace, *others: Any) -> Start:
        cuts.append(space)
        return cut_superlm(teacher, space, *others)

    monkeypatch.setattr("autodistil.training.start.cut_superlm", counted)
    settings = PLAIN.model_copy(update={"calibration_batches": 1})
    path = tmp_path / "starts" / "one"

    def get(made_from: str) -> Start:
        return load_or_cut(path, made_from, teacher, STOCK_SPACE, corpus.train, settings, seed=3)

    first, again = get("this"), get("this")
    assert len(cuts) == 1
    calibration = calibration_batches(corpus.train, 3, 1)
    expected = cut_superlm(teacher, STOCK_SPACE, calibration, settings)
    for start in (first, again):
        assert replace(start, tensors={}) == replace(expected, tensors={})
        assert all(torch.equal(start.tensors[n], t) for n, t in expected.tensors.items())
    get("that")
    assert len(cuts) == 2
    path.write_bytes(path.read_bytes()[:-1])
    get("that")
    assert len(cuts) == 3
