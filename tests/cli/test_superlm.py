"""SuperLMs of a running service on the command line."""

import json
from pathlib import Path

import pytest

from tests.archives import variant
from tests.cli.test_device import run
from tests.stack import Stack


@pytest.fixture(autouse=True)
def _service(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTODISTIL_URL", str(stack.http.base_url))
    monkeypatch.setenv("AUTODISTIL_API_KEY", stack.key)


def test_a_superlm_is_sent_named_deprecated_and_deleted(tmp_path: Path) -> None:
    first, second = (variant(tmp_path / str(v), "by-hand", v) for v in (1, 2))
    assert run("superlm", "register", first).stdout == "by-hand@1 is ready\n"
    done = json.loads(run("superlm", "register", second, "--on-server", "--json").stdout)
    assert done["superlm"] == "by-hand@2"
    run("superlm", "alias", "by-hand@1", "stable")
    run("superlm", "deprecate", "by-hand@2", "--reason", "slow")
    listed = json.loads(run("superlm", "list", "--json").stdout)
    found = {one["superlm"]: one["deprecated"] for one in listed}
    assert (found["by-hand@1"], found["by-hand@2"]) == (None, "slow")
    assert "by-hand@2" in run("superlm", "list").stdout
    refused = run("superlm", "delete", "by-hand@1", status=1)
    assert "aliases stable" in refused.stderr
    run("superlm", "alias", "by-hand@1", "stable", "--delete")
    assert run("superlm", "delete", "by-hand@1").stdout == "by-hand@1 is deleted\n"
    run("superlm", "deprecate", "by-hand@2", "--undo")
    run("superlm", "delete", "by-hand@2")


@pytest.mark.parametrize(
    "arguments",
    [
        ("delete", "by-hand"),
        ("delete", "by-hand@stable"),
        ("deprecate", "by-hand@1"),
        ("register", "/nowhere"),
        ("register", "https://bundles.example.com/x.tar.gz"),
    ],
)
def test_a_wrong_call_is_refused_before_anything_is_done(arguments: tuple[str, ...]) -> None:
    assert run("superlm", *arguments, status=2).stderr.startswith("autodistil: ")
