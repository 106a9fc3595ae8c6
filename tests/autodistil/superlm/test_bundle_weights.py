"""Weights that no bundle may hold."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file as save_torch

from autodistil.superlm.bundle import WEIGHTS, SuperLM, open_superlm
from tests.autodistil.superlm.bundle_edits import edit_weights, refused
from tests.factories import rehash

NORM = "encoder.layer.0.output.LayerNorm.weight"


@pytest.mark.parametrize("keep", [0, 4, 100, 5_000, -1])
def test_truncated_weights_are_refused(stock_copy: SuperLM, keep: int) -> None:
    path = stock_copy.weights_path
    path.write_bytes(path.read_bytes()[:keep])
    refused(stock_copy.folder, f"{WEIGHTS} is not a whole safetensors file")
    rehash(stock_copy.folder)
    refused(stock_copy.folder, f"{WEIGHTS} is not a whole safetensors file")


def test_a_tensor_of_another_shape_is_refused(stock_copy: SuperLM) -> None:
    edit_weights(stock_copy.folder, lambda t: t.update({NORM: t[NORM][:-1].copy()}))
    refused(stock_copy.folder, rf"{NORM} has the shape \[31\], the spec asks for \[32\]")


def test_a_missing_tensor_is_refused(stock_copy: SuperLM) -> None:
    edit_weights(stock_copy.folder, lambda t: t.pop(NORM))
    refused(stock_copy.folder, rf"lacks the tensor {NORM} \(1 missing")


def test_an_extra_tensor_is_refused(stock_copy: SuperLM) -> None:
    edit_weights(stock_copy.folder, lambda t: t.update(extra=np.zeros(3, np.float16)))
    refused(stock_copy.folder, "holds the unknown tensor extra")


@pytest.mark.parametrize("dtype", [np.float64, np.int8, np.int64, np.bool_])
def test_a_tensor_of_another_type_is_refused(stock_copy: SuperLM, dtype: type) -> None:
    edit_weights(stock_copy.folder, lambda t: t.update({NORM: t[NORM].astype(dtype)}))
    refused(stock_copy.folder, f"{NORM} is .*, not F16 or F32")


def test_bfloat16_weights_are_refused(stock_copy: SuperLM) -> None:
    tensors = load_file(stock_copy.weights_path)
    save_torch(
        {name: torch.from_numpy(tensor).bfloat16() for name, tensor in tensors.items()},
        stock_copy.weights_path,
    )
    rehash(stock_copy.folder)
    refused(stock_copy.folder, "is BF16, not F16 or F32")


def test_fp32_weights_are_accepted(stock_copy: SuperLM) -> None:
    edit_weights(
        stock_copy.folder, lambda t: t.update({n: v.astype(np.float32) for n, v in t.items()})
    )
    assert open_superlm(stock_copy.folder).candidates == stock_copy.candidates


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(stock_copy: SuperLM, value: float) -> None:
    edit_weights(stock_copy.folder, lambda t: t[NORM].__setitem__(3, value))
    refused(stock_copy.folder, f"{NORM} holds values that are not finite")


MAP = "map.L1-H16"


@pytest.mark.parametrize("part", ["weight", "bias"])
def test_a_missing_map_is_refused(embedder_copy: SuperLM, part: str) -> None:
    edit_weights(embedder_copy.folder, lambda t: t.pop(f"{MAP}.{part}"))
    refused(embedder_copy.folder, rf"lacks the tensor {MAP}.{part} \(1 missing")


def test_a_map_of_another_shape_is_refused(embedder_copy: SuperLM) -> None:
    name = f"{MAP}.weight"
    edit_weights(embedder_copy.folder, lambda t: t.update({name: t[name].T.copy()}))
    refused(embedder_copy.folder, rf"{name} has the shape \[16, 64\], the spec asks for \[64, 16\]")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_map_that_is_not_finite_is_refused(embedder_copy: SuperLM, value: float) -> None:
    edit_weights(embedder_copy.folder, lambda t: t[f"{MAP}.bias"].__setitem__(5, value))
    refused(embedder_copy.folder, f"{MAP}.bias holds values that are not finite")


def test_the_map_that_all_shared_in_training_does_not_belong_in_a_bundle(
    embedder_copy: SuperLM,
) -> None:
    shared = np.zeros((64, 32), np.float16)
    edit_weights(embedder_copy.folder, lambda t: t.update({"map.weight": shared}))
    refused(embedder_copy.folder, "holds the unknown tensor map.weight")


class Exploit:
    """Unpickling it would leave a file behind."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.target,))


def test_a_pickle_in_place_of_safetensors_is_refused_and_not_run(
    stock_copy: SuperLM, tmp_path: Path
) -> None:
    stock_copy.weights_path.write_bytes(pickle.dumps(Exploit(tmp_path / "ran")))
    rehash(stock_copy.folder)
    refused(stock_copy.folder, "pickles are never read")
    torch.save({"a": torch.zeros(2)}, stock_copy.weights_path)
    rehash(stock_copy.folder)
    refused(stock_copy.folder, "pickles are never read")
    assert not (tmp_path / "ran").exists()
