import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.archives import edit_spec, files_below
from tests.factories import shipped_narrow
from tests.service.conftest import until
from tests.stack import Stack


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of the shipped narrow SuperLM that a test may spoil."""
    source = shipped_narrow()
    shutil.copytree(source, tmp_path / "bundle")
    return tmp_path / "bundle"


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
    before = files_below(stack.settings.superlms_dir)
    refused = stack.register({"path": str(bundle)})
    assert (refused["state"], refused["superlm"]) == ("failed", None)
    assert refused["problem"]["type"].endswith("/invalid-bundle")
    assert reason in refused["problem"]["detail"]
    assert stack.http.get("/v1/superlms?name=spoiled").json()["items"] == []
    assert files_below(stack.settings.superlms_dir) == before
    until(lambda: not files_below(stack.settings.uploads_dir))


def test_a_bundle_is_registered_once_and_its_versions_never_change(
    stack: Stack, bundle: Path
) -> None:
    edit_spec(bundle, name="second", version=2)
    first = stack.register({"path": str(bundle)})
    assert (first["state"], first["percent"], first["superlm"]) == ("ready", 100, "second@2")
    again = stack.register({"path": str(bundle)})
    assert (again["state"], again["superlm"]) == ("ready", "second@2")
    edit_spec(bundle, teacher_layers=[1, 3, 5])
    other = stack.register({"path": str(bundle)})
    assert other["problem"]["type"].endswith("/conflict")
    assert "second@2 is registered with other content" in other["problem"]["detail"]
    shutil.rmtree(bundle)
    detail = stack.http.get("/v1/superlms/second@latest").json()
    assert (detail["state"], len(detail["candidates"])) == ("ready", 12)
    assert detail["envelope"]["macs"] == {"least": 33_623_424, "most": 196_867_584}
    done = stack.wait(stack.ask({"macs": "60M"}, teacher=None, superlm="second@2")["id"])
    assert done["state"] == "succeeded"  # from the service's own copy


@pytest.mark.parametrize("path", ["bundle", "../bundle", "", "/tmp/\0", "a" * 5000])
def test_a_path_that_cannot_hold_a_bundle_is_refused_at_once(stack: Stack, path: str) -> None:
    refused = stack.http.post("/v1/admin/superlms", json={"path": path})
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://elsewhere.example.com/x.tar.gz", "is not a host that this service fetches"),
        ("https://localhost/x.tar.gz", "something local"),
        ("https://127.0.0.1/x.tar.gz", "not an address of the public internet"),
        ("https://[::1]/x.tar.gz", "not an address of the public internet"),
        ("http://bundles.example.com/x.tar.gz", "must begin with https"),
        ("https://bundles.example.com:22/x.tar.gz", "port"),
        ("https://me:secret@bundles.example.com/x.tar.gz", "user or a password"),
        ("https://bundles.example.com@127.0.0.1/x.tar.gz", "user or a password"),
    ],
)
def test_a_url_that_bundles_may_not_come_from_is_refused_at_once(
    stack: Stack, url: str, reason: str
) -> None:
    refused = stack.http.post("/v1/admin/superlms", json={"url": url, "sha256": "0" * 64})
    assert refused.status_code == 422
    assert refused.json()["type"].endswith("/url-refused")
    assert reason in refused.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [{}, {"path": "/x", "url": "https://x.example.com", "sha256": "0" * 64}, {"url": "https://x"}],
)
def test_a_registration_names_one_source(stack: Stack, body: dict[str, str]) -> None:
    assert stack.http.post("/v1/admin/superlms", json=body).status_code == 422


def test_registrations_are_listed_from_the_newest_on(stack: Stack, bundle: Path) -> None:
    ids = [stack.register({"path": str(bundle)})["id"] for _ in range(2)]
    first = stack.http.get("/v1/admin/registrations?state=ready&limit=1").json()
    assert [item["id"] for item in first["items"]] == [ids[1]]
    more = {"limit": "1", "cursor": first["next_cursor"]}
    second = stack.http.get("/v1/admin/registrations", params=more).json()
    assert [item["id"] for item in second["items"]] == [ids[0]]
    assert second["items"][0]["source"]["path"] == str(bundle)


def test_the_catalogue_lists_rows_as_everywhere_else(stack: Stack) -> None:
    detail = stack.http.get("/v1/superlms/minilm-l6-narrow@1").json()
    wanted = {"sub_space", "layers", "hidden", "heads", "head_width", "intermediate", "params"}
    wanted |= {"macs", "paper_params", "paper_macs", "stock"}
    assert all(wanted <= set(row) for row in detail["candidates"])
    assert detail["teacher_cost"]["macs"] == 1_434_451_968
