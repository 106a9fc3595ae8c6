"""When a training multiplies in bfloat16."""

import pytest
import torch

from autodistil.training.precision import uses_bf16
from tests.autodistil.training.runs import MakeTrainer

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def processor(patch: pytest.MonkeyPatch, avx512: bool, amx: bool) -> None:
    """Pretend to run on a processor with or without instructions for bfloat16."""
    patch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: avx512)
    patch.setattr("torch.cpu._is_amx_tile_supported", lambda: amx)


@pytest.mark.parametrize(
    ("avx512", "amx", "expected"),
    [(False, False, False), (True, False, True), (False, True, True), (True, True, True)],
)
def test_auto_takes_bfloat16_where_the_processor_multiplies_it(
    avx512: bool, amx: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor(monkeypatch, avx512, amx)
    assert uses_bf16("auto", CPU) is expected


@pytest.mark.parametrize("able", [True, False])
def test_what_is_asked_for_is_done_whatever_the_processor(
    able: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor(monkeypatch, able, able)
    for device in (CPU, CUDA):
        assert uses_bf16("bf16", device)
        assert not uses_bf16("fp32", device)


@pytest.mark.parametrize("able", [True, False])
def test_auto_on_a_gpu_asks_the_gpu_for_bfloat16_of_its_own(
    able: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor(monkeypatch, not able, not able)

    def supported(including_emulation: bool = True) -> bool:
        return including_emulation or able

    monkeypatch.setattr("torch.cuda.is_bf16_supported", supported)
    assert uses_bf16("auto", CUDA) is able


def test_auto_on_a_device_that_is_not_known_stays_with_fp32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    processor(monkeypatch, True, True)
    assert not uses_bf16("auto", torch.device("mps"))


def test_a_run_with_auto_is_that_of_the_precision_it_takes(
    make_trainer: MakeTrainer,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def first_loss(precision: str) -> float:
        trainer = make_trainer(tmp_path_factory.mktemp("run"), precision=precision)
        return trainer.train_step().students[0].losses["relation"]

    exact, rough = first_loss("fp32"), first_loss("bf16")
    assert exact != rough
    for able, expected in ((False, exact), (True, rough)):
        processor(monkeypatch, able, able)
        assert first_loss("auto") == expected
