import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.factories import shipped_tiny
from tests.stack import Stack


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of the shipped tiny SuperLM that a test may spoil."""
    source = shipped_tiny()
    shutil.copytree(source, tmp_path / "bundle")
    return tmp_path / "bundle"


def edit_spec(folder: Path, **changes: object) -> None:
    spec = json.loads((folder / "superlm.json").read_text())
    (folder / "superlm.json").write_text(json.dumps({**spec, **changes}))


def truncate(folder: Path) -> None:
    content = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(content[: len(content) // 2])


def wrong_shape(folder: Path) -> None:
    tensors = load_file(folder / "weights.safetensors")
    tensors["pooler.dense.bias"] = np.zeros(7, np.float16)
    save_file(tensors, folder / "weights.safetensors")


def missing_tensor(folder: Path) -> None:
    tensors = load_file(folder / "weights.safetensors")
    del tensors["pooler.dense.bias"]
    save_file(tensors, folder / "weights.safetensors")


def pickled(folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes(pickle.dumps({"weights": [1.0]}))


def pickle_beside(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weights": [1.0]}))


def linked(folder: Path) -> None:
    (folder / "weights.safetensors").rename(folder.parent / "elsewhere")
    (folder / "weights.safetensors").symlink_to(folder.parent / "elsewhere")


def altered(folder: Path) -> None:
    content = bytearray((folder / "weights.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(content)


def gone(folder: Path) -> None:
    shutil.rmtree(folder)


FAULTS: list[tuple[Callable[[Path], None], str]] = [
    (truncate, "weights.safetensors is not a whole safetensors file"),
    (wrong_shape, "pooler.dense.bias has the shape [7]"),
    (missing_tensor, "lacks the tensor pooler.dense.bias"),
    (lambda folder: edit_spec(folder, extra=1), "superlm.json: extra"),
    (lambda folder: edit_spec(folder, version="1"), "superlm.json: version"),
    (pickled, "pickles are never read"),
    (pickle_beside, "pytorch_model.bin is not listed"),
    (linked, "weights.safetensors is a link"),
    (altered, "weights.safetensors was altered"),
    (gone, "There is no bundle folder"),
]


@pytest.mark.parametrize(("spoil", "reason"), FAULTS, ids=[reason for _, reason in FAULTS])
def test_a_broken_bundle_is_refused_with_its_fault_and_leaves_nothing(
    stack: Stack, bundle: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    edit_spec(bundle, name="spoiled")
    spoil(bundle)
    before = stack.http.get("/v1/superlms").json()
    refused = stack.http.post("/v1/admin/superlms", json={"path": str(bundle)})
    assert refused.status_code == 422
    assert refused.json()["type"].endswith("/invalid-bundle")
    assert reason in refused.json()["detail"]
    assert stack.http.get("/v1/superlms").json() == before
    assert not list(stack.settings.superlms_dir.glob("*spoiled*"))


def test_a_bundle_is_registered_once_and_its_versions_never_change(
    stack: Stack, bundle: Path
) -> None:
    edit_spec(bundle, name="second", version=2)
    registered = stack.http.post("/v1/admin/superlms", json={"path": str(bundle)})
    assert registered.status_code == 201, registered.text
    assert registered.headers["location"] == "/v1/superlms/second@2"
    assert registered.json()["envelope"]["macs"] == {"least": 12_582_912, "most": 109_051_904}
    assert stack.http.post("/v1/admin/superlms", json={"path": str(bundle)}).status_code == 200
    shutil.rmtree(bundle / ".." / "bundle")
    detail = stack.http.get("/v1/superlms/second@latest").json()
    assert (detail["state"], len(detail["candidates"])) == ("ready", 36)
    done = stack.wait(stack.ask({"macs": "60M"}, teacher=None, superlm="second@2")["id"])
    assert done["state"] == "succeeded"  # from the service's own copy


def test_other_content_under_a_taken_version_is_a_conflict(stack: Stack, bundle: Path) -> None:
    edit_spec(bundle, teacher_layers=[0, 2, 4, 5])
    refused = stack.http.post("/v1/admin/superlms", json={"path": str(bundle)})
    assert refused.status_code == 409
    assert "minilm-l6-tiny@2 is registered with other content" in refused.json()["detail"]


@pytest.mark.parametrize("path", ["bundle", "../bundle", "", "/nowhere", "/tmp/\0", "a" * 5000])
def test_a_path_that_holds_no_bundle_is_refused(stack: Stack, path: str) -> None:
    refused = stack.http.post("/v1/admin/superlms", json={"path": path})
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"


def test_the_catalogue_lists_rows_as_everywhere_else(stack: Stack) -> None:
    detail = stack.http.get("/v1/superlms/minilm-l6-tiny@2").json()
    wanted = {"sub_space", "layers", "hidden", "heads", "head_width", "intermediate", "params"}
    wanted |= {"macs", "paper_params", "paper_macs", "stock"}
    assert all(wanted <= set(row) for row in detail["candidates"])
    assert detail["teacher_cost"]["macs"] == 1_434_451_968
