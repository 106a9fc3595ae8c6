from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from autodistil.errors import InvalidBundle, InvalidInput
from autodistil.families.architecture import Architecture
from autodistil.spaces.map_tensors import map_shapes
from autodistil.superlm import slicing
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.slicing import load_elastic, slice_map, slice_student


class RecordingFile:
    """Passes everything on to safetensors and writes down what was read."""

    def __init__(self, file: Any, read: dict[str, int]) -> None:
        self._file, self._read = file, read

    def __enter__(self) -> "RecordingFile":
        self._file.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._file.__exit__(*error)

    def get_slice(self, name: str) -> "RecordingSlice":
        return RecordingSlice(self._file.get_slice(name), name, self._read)

    # No get_tensor: a whole tensor must never be asked for.


class RecordingSlice:
    """A slice that counts the elements taken out of it."""

    def __init__(self, view: Any, name: str, read: dict[str, int]) -> None:
        self._view, self._name, self._read = view, name, read

    def __getitem__(self, index: Any) -> torch.Tensor:
        tensor: torch.Tensor = self._view[index]
        assert self._name not in self._read
        self._read[self._name] = tensor.numel()
        return tensor


@pytest.mark.parametrize("kind", ["stock", "free"])
def test_only_what_the_student_holds_is_read(
    kind: str, stock_superlm: SuperLM, free_superlm: SuperLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    superlm = stock_superlm if kind == "stock" else free_superlm
    real = slicing.safe_open
    for candidate in superlm.candidates:
        read: dict[str, int] = {}
        monkeypatch.setattr(
            slicing,
            "safe_open",
            lambda *args, read=read, **kwargs: RecordingFile(real(*args, **kwargs), read),
        )
        tensors = slice_student(superlm, candidate.architecture)
        assert sum(read.values()) == candidate.params == sum(t.numel() for t in tensors.values())
        layers = {int(name.split(".")[2]) for name in read if name.startswith("encoder.layer.")}
        assert layers == set(superlm.spec.kept_layers[candidate.layers])


@pytest.mark.parametrize("kind", ["stock", "free"])
def test_a_slice_is_the_first_rows_and_columns_of_the_kept_layers(
    kind: str, stock_superlm: SuperLM, free_superlm: SuperLM
) -> None:
    superlm = stock_superlm if kind == "stock" else free_superlm
    stored = load_file(superlm.weights_path)
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    for student in superlm.spec.space.students():
        tensors = slice_student(superlm, student)
        shapes = superlm.spec.encoder.shapes(student)
        assert list(tensors) == list(shapes)
        for name, shape in shapes.items():
            kept = superlm.spec.kept_layers[student.layers]
            source = superlm.spec.encoder.source(name, kept)
            expected = stored[source][tuple(slice(size) for size in shape)].float()
            assert torch.equal(tensors[name], expected)
            assert tensors[name].is_contiguous()


def test_the_map_of_a_student_is_that_of_its_depth_and_width(embedder_superlm: SuperLM) -> None:
    stored = load_file(embedder_superlm.weights_path)
    maps = {name for name in stored if name.startswith("map.")}
    sizes = [(1, 16), (1, 32), (2, 16), (2, 32)]
    assert maps == {f"map.L{n}-H{h}.{p}" for n, h in sizes for p in ("weight", "bias")}
    for student in embedder_superlm.spec.space.students():
        found = slice_map(embedder_superlm, student)
        assert found is not None
        assert {name: tuple(tensor.shape) for name, tensor in found.items()} == map_shapes(
            student, 64
        )
        for part in ("weight", "bias"):
            own = stored[f"map.L{student.layers}-H{student.hidden}.{part}"]
            assert torch.equal(found[f"linear.{part}"], own.float())


def test_a_student_whose_teacher_is_no_embedder_has_no_map(stock_superlm: SuperLM) -> None:
    assert slice_map(stock_superlm, stock_superlm.spec.space.smallest) is None


def test_a_student_has_the_first_words_of_the_superlm(embedder_superlm: SuperLM) -> None:
    name = "embeddings.word_embeddings.weight"
    stored = load_file(embedder_superlm.weights_path)[name]
    assert len(stored) == 120
    for student in embedder_superlm.spec.space.students():
        words = slice_student(embedder_superlm, student)[name]
        assert torch.equal(words, stored[: student.vocab, : student.hidden].float())


@pytest.mark.parametrize(
    ("axis", "by"),
    [
        ("layers", 1),
        ("layers", -1),
        ("hidden", 8),
        ("heads", 1),
        ("head_width", 1),
        ("intermediate", 1),
    ],
)
def test_an_architecture_outside_the_space_is_refused(
    axis: str, by: int, free_superlm: SuperLM
) -> None:
    student = free_superlm.spec.space.smallest if by < 0 else free_superlm.spec.space.largest
    other = student.model_copy(update={axis: getattr(student, axis) + by})
    with pytest.raises(InvalidInput, match=f"{other.name} is not a student of free@1"):
        slice_student(free_superlm, other)


def test_a_student_between_the_widths_of_the_space_is_refused(stock_superlm: SuperLM) -> None:
    between = Architecture(layers=2, hidden=24, heads=3, head_width=8, intermediate=48)
    with pytest.raises(InvalidInput, match="sub-space is"):
        slice_student(stock_superlm, between)


@pytest.mark.parametrize("damage", ["vanished", "truncated", "garbage"])
def test_weights_that_vanished_or_changed_since_are_an_invalid_bundle(
    damage: str, stock_copy: SuperLM
) -> None:
    path = stock_copy.weights_path
    if damage == "vanished":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        path.write_bytes(b"x" * 1000)
    with pytest.raises(InvalidBundle, match="stock@1"):
        slice_student(stock_copy, stock_copy.spec.space.smallest)
    with pytest.raises(InvalidBundle, match="stock@1"):
        load_elastic(stock_copy)


def test_a_map_that_vanished_since_is_an_invalid_bundle(embedder_copy: SuperLM) -> None:
    embedder_copy.weights_path.unlink()
    with pytest.raises(InvalidBundle, match="weights of narrow@1"):
        slice_map(embedder_copy, embedder_copy.spec.space.smallest)


def test_weights_replaced_by_smaller_ones_are_an_invalid_bundle(
    stock_copy: SuperLM,
) -> None:
    tensors = {
        name: tensor[:1].clone() for name, tensor in load_file(stock_copy.weights_path).items()
    }
    save_file(tensors, stock_copy.weights_path)
    with pytest.raises(InvalidBundle, match="changed its shape"):
        slice_student(stock_copy, stock_copy.spec.space.largest)


def test_the_whole_superlm_loads_in_fp32_and_frozen(stock_superlm: SuperLM) -> None:
    encoder = load_elastic(stock_superlm)
    stored = load_file(stock_superlm.weights_path)
    for name, tensor in encoder.tensors().items():
        assert torch.equal(tensor, stored[name].float())
        assert not tensor.requires_grad
    assert not encoder.training
