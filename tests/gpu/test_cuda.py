"""What only a CUDA device can show; run by `scripts/gpu_run.sh`."""

from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from autodistil.models.teacher import load_teacher, trim_teacher
from autodistil.text.vocabulary_texts import read_texts
from autodistil.training.settings import TrainingSettings
from autodistil.training.start import calibration_batches, cut_superlm
from autodistil.training.trainer import Trainer
from tests.factories import EMBEDDER_SETTINGS, EMBEDDER_SPACE, write_corpus, write_embedder

pytestmark = pytest.mark.gpu


def trainer(folder: Path, settings: TrainingSettings, cpu: bool) -> Trainer:
    teacher = load_teacher(str(write_embedder(folder / "teacher")))
    corpus = write_corpus(folder / "corpus")
    texts = read_texts(corpus, teacher.tokenizer, EMBEDDER_SPACE.vocab, folder / "cache")
    assert texts.kept is not None
    cut_from = trim_teacher(teacher, texts.kept, texts.tokenizer)
    start = cut_superlm(
        cut_from, EMBEDDER_SPACE, calibration_batches(texts.largest.train, 0, 2), settings.start
    )
    accelerator = Accelerator(cpu=cpu)
    return Trainer(teacher, EMBEDDER_SPACE, start, texts, settings, folder / "run", accelerator)


def test_a_step_on_the_device_is_the_step_on_the_cpu(tmp_path: Path) -> None:
    on_cpu = trainer(tmp_path / "cpu", EMBEDDER_SETTINGS, cpu=True)
    on_device = trainer(tmp_path / "device", EMBEDDER_SETTINGS, cpu=False)
    for _ in range(3):
        wanted, found = on_cpu.train_step(), on_device.train_step()
        assert [s.name for s in found.students] == [s.name for s in wanted.students]
        for a, b in zip(found.students, wanted.students, strict=True):
            assert a.losses == pytest.approx(b.losses, rel=1e-3)


def test_bfloat16_trains_on_the_device(tmp_path: Path) -> None:
    settings = EMBEDDER_SETTINGS.model_copy(update={"precision": "bf16", "tokens": 20_000})
    run = trainer(tmp_path, settings, cpu=False)
    losses = []
    run.run(on_step=lambda row: losses.append(row.students[0].losses["vector"]))
    assert sum(losses[-5:]) < sum(losses[:5])
    assert all(p.device.type == "cuda" for p in run.superlm.parameters())
    assert torch.cuda.max_memory_allocated() > 0
