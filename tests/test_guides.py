"""What the guides tell a reader to run does what they say.

The stack is started by the commands of "Run it in production", on PostgreSQL; the sections of all
guides are then run against it, each in a folder of its own. Only what a reader is to fill in is
replaced. They use curl and jq, as many readers do: run by `make test-slow`.
"""

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from standardwebhooks import WebhookVerificationError

from autodistil.models.teacher import load_teacher
from autodistil.text.corpus import tokenize_corpus
from cli.stack import Part
from tests.archives import variant
from tests.conftest import fresh_database
from tests.factories import (
    STOCK_SPACE,
    make_bundle,
    sentence,
    whole_texts,
    write_corpus,
    write_teacher,
)
from tests.guides import (
    GUIDES,
    KEEPS_RUNNING,
    RUN,
    SHOWN_ONLY,
    blocks_of,
    scripts_of,
    split_command,
)
from tests.service.receiver import receiving
from tests.stack import wait_ready

PRODUCTION = GUIDES / "run-in-production.md"
OWN_TEXT = "use-your-own-text.md"
TEACHER = "tiny-teacher"

DONE: dict[str, dict[str, list[str]]] = {
    "get-a-student.md": {
        "With Python": ["student/model.safetensors", "student/receipt.json"],
        "From the command line": ["student/model.safetensors", "student/receipt.json"],
        "With curl": ["student/model.safetensors"],
    },
    OWN_TEXT: {"Use your own text": ["student/receipt.json", "students/tickets/receipt.json"]},
}
"""Files that a section leaves behind."""

SAID: dict[str, dict[str, list[str]]] = {
    "get-a-student.md": {"With curl": ["student.tar.gz: OK"]},
    "pick-a-budget.md": {
        "Try without a job": ['"neighbours"', '"superlm": "minilm-l6-'],
        "See the whole range": ['"superlm": "minilm-l6-wide@', '"quality": 0.'],
    },
    "register-a-superlm.md": {
        "From the command line": ["mine@1 is ready", "mine@production is mine@1"],
        "Three ways in": ["HTTP/1.1 202 Accepted", "location: /v1/admin/registrations/"],
        "Retire one": ["mine@1 is deleted"],
    },
    "run-in-production.md": {
        "Watch": ["xeon-8480"],
        "Keys": ["search team", " is revoked", '"key":"ad_'],
    },
    "write-a-client.md": {"Write a client": ["event: succeeded"]},
}
"""What a section prints."""


@dataclass(frozen=True)
class Place:
    """Where the guides are followed.

    Attributes:
        http: A client with the admin key.
        environment: Of the commands.
        replaced: What a reader fills in, and with what.
        data: The data folder.
    """

    http: httpx.Client
    environment: Mapping[str, str]
    replaced: Mapping[str, str]
    data: Path

    def fill_in(self, script: str) -> str:
        """A script without what a reader is to fill in."""
        return fill_in(script, self.replaced)

    def run(self, script: str, folder: Path) -> str:
        """Run a script; returns what it printed."""
        done = subprocess.run(
            ["bash", "-c", self.fill_in(script)],
            cwd=folder,
            env=dict(self.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}"
        return done.stdout


def fill_in(script: str, replaced: Mapping[str, str]) -> str:
    for name, value in replaced.items():
        script = script.replace(name, value)
    return script


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def place(
    request: pytest.FixtureRequest, broker_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """A stack that was started as the guide says, with a small teacher of its own."""
    folder = tmp_path_factory.mktemp("guides")
    (folder / ".curlrc").write_text("fail-with-body\n")
    database_url = fresh_database("postgresql", request, folder, "guides")
    port = free_port()
    replaced = {
        "AUTODISTIL_DATA_DIR=/data": f"AUTODISTIL_DATA_DIR={folder / 'data'}",
        "/data/admin-key": f"{folder / 'data'}/admin-key",
        "postgresql+psycopg://autodistil:...@db/autodistil": database_url,
        "redis://redis:6379/0": f"{broker_url}/9",
        "--port 8000": f"--port {port}",
        "http://127.0.0.1:8000": f"http://127.0.0.1:{port}",
    }
    told = PRODUCTION.read_text()
    assert [name for name in replaced if name not in told] == []
    first, serving = [block for block in blocks_of(PRODUCTION) if "sh" in block.kind][:2]
    assert (first.kind, serving.kind) == ("sh", KEEPS_RUNNING)
    environment = prepared(fill_in(first.text, replaced), folder)
    with contextlib.ExitStack() as cleanup:
        parts = []
        for line in fill_in(serving.text, replaced).splitlines():
            variables, command = split_command(line)
            part = Part(command[0], command, folder / f"{command[0]}.log", environment | variables)
            part.start()
            cleanup.callback(part.stop)
            parts.append(part)
        bundle = small_superlm(folder)  # while the worker gets ready
        key = (folder / "data" / "admin-key").read_text().strip()
        url = f"http://127.0.0.1:{port}"
        headers = {"Authorization": f"Bearer {key}"}
        http = cleanup.enter_context(httpx.Client(base_url=url, headers=headers, timeout=30))
        wait_ready(http, parts)
        environment |= {"AUTODISTIL_URL": url, "AUTODISTIL_API_KEY": key}
        running = Place(http, environment, replaced | {"ad_...": key}, folder / "data")
        running.run(f"autodistil superlm register {bundle}", folder)
        yield running


def small_superlm(folder: Path) -> Path:
    torch.set_num_threads(1)
    teacher = load_teacher(str(write_teacher(folder / TEACHER)))
    corpus = tokenize_corpus(write_corpus(folder / "corpus"), teacher.tokenizer, folder / "cache")
    texts = whole_texts(corpus, teacher)
    return make_bundle(teacher, STOCK_SPACE, texts, folder, "small").folder


def prepared(script: str, folder: Path) -> dict[str, str]:
    """Run what prepares a database; returns the environment that it leaves."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    settings = {
        "AUTODISTIL_TEACHERS": json.dumps({TEACHER: str(folder / TEACHER)}),
        "AUTODISTIL_THREADS": "1",
        "AUTODISTIL_DEVELOPMENT_WEBHOOKS": "true",  # for a receiver on this machine
    }
    done = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{script}\nenv -0 > environment"],
        cwd=folder,
        env={**os.environ, "PATH": path, "CURL_HOME": str(folder), **settings},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    pairs = (folder / "environment").read_text().rstrip("\0").split("\0")
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a reader of any guide stands: with a bundle and a text of their own."""
    rng = random.Random(3)
    (tmp_path / "tickets.txt").write_text("".join(f"{sentence(rng)}\n" for _ in range(40)))
    variant(tmp_path / "my-superlms" / "mine", "mine")
    return tmp_path


GUIDE_NAMES = sorted(guide.name for guide in GUIDES.glob("*.md"))


@pytest.mark.parametrize("name", GUIDE_NAMES)
def test_every_block_is_run_or_says_why_not(name: str) -> None:
    blocks = blocks_of(GUIDES / name)
    assert {block.kind for block in blocks} <= {*RUN, *SHOWN_ONLY, KEEPS_RUNNING}
    for block in blocks:
        if block.kind == "json":
            json.loads(block.text)
    serving = [block for block in blocks if block.kind == KEEPS_RUNNING]
    assert len(serving) == (name == PRODUCTION.name)


@pytest.mark.slow
@pytest.mark.parametrize("name", GUIDE_NAMES)
def test_a_guide_can_be_followed(place: Place, folder: Path, name: str) -> None:
    if name == "write-a-client.md":
        wait(place, {"teacher": "all-MiniLM-L6-v2", "budget": {"macs": "41M"}})
    scripts = scripts_of(GUIDES / name)
    assert DONE.get(name, {}).keys() | SAID.get(name, {}).keys() <= scripts.keys()
    for number, (section, script) in enumerate(scripts.items()):
        here = folder / str(number)
        here.mkdir()
        for given in ("tickets.txt", "my-superlms"):
            (here / given).symlink_to(folder / given)
        if name == OWN_TEXT:  # the weights of the shipped SuperLMs' teacher are not at hand
            script = script.replace("all-MiniLM-L6-v2", TEACHER)
        printed = place.run(script, here)
        for path in DONE.get(name, {}).get(section, []):
            assert (here / path).is_file(), f"{section}: {path}\n{printed}"
        for text in SAID.get(name, {}).get(section, []):
            assert text in printed, f"{section}\n{printed}"


def wait(place: Place, body: dict[str, Any]) -> dict[str, Any]:
    answer = place.http.post("/v1/extractions", json=body, headers={"Prefer": "wait=20"})
    job: dict[str, Any] = answer.json()
    assert job["state"] == "succeeded", job
    return job


@pytest.mark.slow
def test_the_guides_reader_of_webhooks_takes_those_of_the_service_and_no_others(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = (b for b in blocks_of(GUIDES / "write-a-client.md") if b.kind == "python")
    names: dict[str, Any] = {}
    exec(block.text, names)
    monkeypatch.setenv("WEBHOOK_SECRET", (place.data / "webhook-secret").read_text().strip())
    with receiving() as receiver:
        body = {"teacher": "all-MiniLM-L6-v2", "budget": {"macs": "42M"}}
        job = wait(place, body | {"webhook": {"url": receiver.url}})
        deadline = time.monotonic() + 20
        while not receiver.calls and time.monotonic() < deadline:
            time.sleep(0.05)
        ((headers, content),) = receiver.calls
    message = names["read_message"](content, headers)
    assert (message["type"], message["data"]["id"]) == ("extraction.succeeded", job["id"])
    with pytest.raises(WebhookVerificationError):
        names["read_message"](content.replace(b"succeeded", b"failed"), headers)
