from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from autodistil.models.elastic import LayerOutput
from autodistil.models.teacher import Teacher
from autodistil.text.corpus import Batch, Corpus
from autodistil.training.loss_curve import LossRow
from autodistil.training.start import Start, calibration_batches, teacher_encoder
from autodistil.training.teacher_cache import TeacherCache
from autodistil.training.training import Trainer
from tests.factories import SETTINGS, STOCK_SPACE

Run = Callable[[], Sequence[LayerOutput]]


@pytest.fixture
def batch(corpus: Corpus) -> Batch:
    return calibration_batches(corpus.train, 3, 1)[0]


@pytest.fixture
def run(teacher: Teacher, batch: Batch) -> Run:
    encoder = teacher_encoder(teacher)

    def outputs() -> Sequence[LayerOutput]:
        return encoder.outputs(batch.input_ids, batch.attention_mask, teacher.architecture)[-2:]

    return outputs


def never() -> Sequence[LayerOutput]:
    raise AssertionError("the teacher was run")


def test_the_second_time_comes_from_disk_and_is_the_same(
    batch: Batch, run: Run, tmp_path: Path
) -> None:
    first = TeacherCache(tmp_path, "a" * 64, [2, 3]).fetch(batch, run)
    second = TeacherCache(tmp_path, "a" * 64, [2, 3]).fetch(batch, never)
    for mine, theirs, original in zip(first, second, run(), strict=True):
        for part in ("queries", "keys", "values", "hidden"):
            assert torch.equal(getattr(mine, part), getattr(theirs, part))
            assert torch.allclose(getattr(mine, part), getattr(original, part), atol=5e-3)


@pytest.mark.parametrize("other", ["teacher", "layers", "text", "mask"])
def test_nothing_else_is_taken_for_it(
    other: str, batch: Batch, run: Run, corpus: Corpus, tmp_path: Path
) -> None:
    TeacherCache(tmp_path, "a" * 64, [2, 3]).fetch(batch, run)
    sha256, layers = "a" * 64, [2, 3]
    if other == "teacher":
        sha256 = "b" * 64
    elif other == "layers":
        layers = [1, 3]
    elif other == "text":
        batch = Batch(batch.input_ids.flip(0), batch.attention_mask)
    else:
        batch = Batch(batch.input_ids, torch.ones_like(batch.attention_mask))
    with pytest.raises(AssertionError, match="was run"):
        TeacherCache(tmp_path, sha256, layers).fetch(batch, never)


@pytest.mark.parametrize("damage", [b"", b"short", b"\x00" * 5000])
def test_a_damaged_file_is_made_again(
    damage: bytes, batch: Batch, run: Run, tmp_path: Path
) -> None:
    cache = TeacherCache(tmp_path, "a" * 64, [2, 3])
    cache.fetch(batch, run)
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(damage)
    cache.fetch(batch, run)
    cache.fetch(batch, never)


def test_a_run_on_repeated_batches_asks_the_teacher_once_for_each(
    teacher: Teacher, corpus: Corpus, start: Start, tmp_path: Path
) -> None:
    settings = SETTINGS.model_copy(update={"distinct_batches": 3})
    runs = {}
    for name, cache in {"live": None, "cached": tmp_path / "cache"}.items():
        reports: list[LossRow] = []
        trainer = Trainer(
            teacher, STOCK_SPACE, start, corpus.train, settings, tmp_path / name, cache=cache
        )
        trainer.run(on_step=reports.append)
        runs[name] = reports
    assert len(runs["live"]) == len(runs["cached"]) > 6
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 3
    for live, cached in zip(runs["live"], runs["cached"], strict=True):
        assert live.tokens == cached.tokens
        for a, b in zip(live.students, cached.students, strict=True):
            assert a.name == b.name
            assert a.relation == pytest.approx(b.relation, rel=0.02, abs=1e-3)
