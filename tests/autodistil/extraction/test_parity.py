"""Exported students compute what the SuperLM computes, and one that does not is found out."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from autodistil.errors import ParityFailure
from autodistil.extraction.parity import PARITY_TOLERANCE, check_parity
from autodistil.spaces.embedding import Vectors
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.slicing import load_elastic
from tests.exports import export
from tests.factories import edit_json

WEIGHTS = "model.safetensors"
NORM = "encoder.layer.1.output.LayerNorm.weight"


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


@pytest.mark.parametrize("kind", ["stock", "free"])
def test_every_student_has_parity(
    kind: str, stock_superlm: SuperLM, free_superlm: SuperLM, tmp_path: Path
) -> None:
    superlm = stock_superlm if kind == "stock" else free_superlm
    reference = load_elastic(superlm)
    for index in range(len(superlm.candidates)):
        folder = tmp_path / str(index)
        architecture = export(superlm, folder, index).architecture
        parity = check_parity(superlm, architecture, folder, reference)
        assert parity.max_abs_difference <= parity.tolerance == PARITY_TOLERANCE == 1e-5
        assert 0 < parity.tokens < 4 * 64
        assert parity.vectors_max_abs_difference is None


@pytest.mark.parametrize("kind", ["stock", "free"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[NORM].mul_(1.001), "differs by"),
        (lambda t: t["embeddings.position_embeddings.weight"][3, 0].add_(0.1), "differs by"),
        (lambda t: t[NORM].fill_(float("nan")), "differs by nan"),
        (lambda t: t.pop(NORM), f"missing_keys.*{NORM}"),
        (lambda t: t.update(extra=torch.zeros(1)), "unexpected_keys.*extra"),
        (lambda t: t.update({NORM: t[NORM][:-1].clone()}), "L2-H"),
    ],
)
def test_other_weights_fail_the_parity_check(
    kind: str,
    change: Callable[[dict[str, torch.Tensor]], object],
    message: str,
    stock_superlm: SuperLM,
    free_superlm: SuperLM,
    tmp_path: Path,
) -> None:
    superlm = stock_superlm if kind == "stock" else free_superlm
    architecture = export(superlm, tmp_path).architecture
    edit_weights(tmp_path, change)
    with pytest.raises(ParityFailure, match=message):
        check_parity(superlm, architecture, tmp_path, load_elastic(superlm))


@pytest.mark.parametrize("damage", ["missing", "truncated", "bad config"])
def test_a_folder_that_does_not_load_fails_the_parity_check(
    damage: str, stock_superlm: SuperLM, tmp_path: Path
) -> None:
    architecture = export(stock_superlm, tmp_path).architecture
    if damage == "missing":
        (tmp_path / WEIGHTS).unlink()
    elif damage == "truncated":
        (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:1000])
    else:
        (tmp_path / "config.json").write_text("{")
    with pytest.raises(ParityFailure, match="does not load"):
        check_parity(stock_superlm, architecture, tmp_path, load_elastic(stock_superlm))


def test_the_student_of_another_architecture_fails_the_parity_check(
    stock_superlm: SuperLM, tmp_path: Path
) -> None:
    exported = export(stock_superlm, tmp_path).architecture
    deeper = exported.model_copy(update={"layers": 3})
    with pytest.raises(ParityFailure):
        check_parity(stock_superlm, deeper, tmp_path, load_elastic(stock_superlm))


@pytest.mark.parametrize("vectors", list(Vectors))
def test_every_student_of_an_embedder_has_parity_of_its_vectors_too(
    vectors: Vectors, embedder_superlm: SuperLM, tmp_path: Path
) -> None:
    reference = load_elastic(embedder_superlm)
    for index in range(len(embedder_superlm.candidates)):
        folder = tmp_path / str(index)
        architecture = export(embedder_superlm, folder, index, vectors).architecture
        parity = check_parity(embedder_superlm, architecture, folder, reference, vectors)
        assert parity.vectors_max_abs_difference is not None
        assert parity.vectors_max_abs_difference <= parity.tolerance == 1e-5


def change_dense(folder: Path) -> None:
    edit_weights(folder / "2_Dense", lambda t: t["linear.bias"].add_(0.1))


def change_pooling(folder: Path) -> None:
    edit_json(
        folder / "1_Pooling" / "config.json",
        lambda file: {
            **file,
            "pooling_mode_mean_tokens": False,
            "pooling_mode_cls_token": True,
        },
    )


def leave_out(kind: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        edit_json(
            folder / "modules.json",
            lambda modules: [m for m in modules if not m["type"].endswith(kind)],
        )

    return change


def lose_dense(folder: Path) -> None:
    (folder / "2_Dense" / WEIGHTS).unlink()


def break_dense(folder: Path) -> None:
    edit_weights(folder / "2_Dense", lambda t: t["linear.weight"].fill_(float("nan")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_dense, "sentence vectors of L1-H16.* differ by"),
        (change_pooling, "sentence vectors of L1-H16.* differ by"),
        (leave_out("Normalize"), "sentence vectors of L1-H16.* differ by"),
        (leave_out("Dense"), "are 16 wide, the SuperLM's 64"),
        (lose_dense, "makes no sentence vectors: .*2_Dense"),
        (break_dense, "makes no sentence vectors: .*2_Dense.* not finite"),
    ],
)
def test_other_sentence_modules_fail_the_parity_check(
    change: Callable[[Path], None],
    message: str,
    embedder_superlm: SuperLM,
    tmp_path: Path,
) -> None:
    architecture = export(embedder_superlm, tmp_path).architecture
    change(tmp_path)
    with pytest.raises(ParityFailure, match=message):
        check_parity(embedder_superlm, architecture, tmp_path, load_elastic(embedder_superlm))


def test_a_map_where_own_vectors_were_asked_for_fails_the_parity_check(
    embedder_superlm: SuperLM, tmp_path: Path
) -> None:
    architecture = export(embedder_superlm, tmp_path).architecture
    reference = load_elastic(embedder_superlm)
    with pytest.raises(ParityFailure, match="are 64 wide, the SuperLM's 16"):
        check_parity(embedder_superlm, architecture, tmp_path, reference, Vectors.OWN)
