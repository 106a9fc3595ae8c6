"""Bundles sent as the body of a request, the honest and the hostile."""

import asyncio
import hashlib
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
from starlette.requests import ClientDisconnect

from database import registrations
from database.session import SessionFactory
from database.tables import new_id
from models_store.uploads import Uploads
from service.problem_types import TooLarge
from service.uploads import UPLOAD_PATH, UploadBroken, receive, remove_leftovers
from tests.archives import archive, files_below, member, packed, repr_digest, variant
from tests.service.conftest import Alone, until
from tests.stack import Stack


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A bundle as an archive of several megabytes, well above what another body may have."""
    folder = tmp_path_factory.mktemp("upload")
    return packed(variant(folder / "bundle", "uploaded", 3), "uploaded/")


def upload(http: httpx.Client, content: bytes, **headers: str) -> httpx.Response:
    return http.post(UPLOAD_PATH, content=content, headers={**repr_digest(content), **headers})


def in_pieces(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 100_000):
        yield content[start : start + 100_000]


def test_an_uploaded_bundle_gets_ready_and_nothing_stays_of_the_upload(
    stack: Stack, content: bytes
) -> None:
    accepted = stack.http.post(
        UPLOAD_PATH, content=in_pieces(content), headers=repr_digest(content)
    )
    assert accepted.status_code == 202, accepted.text
    assert accepted.json()["state"] == "queued"
    done = stack.wait_registration(accepted.headers["location"])
    assert (done["state"], done["superlm"]) == ("ready", "uploaded@3"), done["problem"]
    assert done["source"]["size_bytes"] == len(content)
    assert stack.http.get("/v1/superlms/uploaded@3").json()["state"] == "ready"
    until(lambda: not files_below(stack.settings.uploads_dir))


HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "it leads out": lambda _: archive([member("../../superlms/mine@1/superlm.json", b"{}")]),
    "it is truncated": lambda content: content[: len(content) // 2],
    "it is no bundle": lambda _: archive([member("superlm.json", b"{}")]),
    "it is a bomb": lambda _: archive([member("weights.safetensors", bytes(60_000_000))]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_upload_fails_and_leaves_nothing(stack: Stack, content: bytes, name: str) -> None:
    before = files_below(stack.settings.superlms_dir)
    accepted = upload(stack.http, HOSTILE[name](content))
    done = stack.wait_registration(accepted.headers["location"])
    assert done["state"] == "failed"
    assert done["problem"]["type"].endswith("/invalid-bundle"), done["problem"]
    assert files_below(stack.settings.superlms_dir) == before
    until(lambda: not files_below(stack.settings.uploads_dir))


def test_an_upload_with_another_hash_or_none_or_two_is_refused(
    alone: Alone, content: bytes
) -> None:
    other = repr_digest(b"other")
    refused = upload(alone.http, content, **other)
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/digest-mismatch")
    found = hashlib.sha256(content).hexdigest()
    assert refused.json()["sha256"] == found
    kind = {"Content-Type": "application/gzip"}
    none = alone.http.post(UPLOAD_PATH, content=b"x", headers=kind)
    assert (none.status_code, none.json()["type"]) == (422, "/problems/invalid-input")
    two = alone.http.post(f"{UPLOAD_PATH}?sha256={found}", content=b"x", headers=other)
    assert (two.status_code, two.json()["type"]) == (422, "/problems/digest-mismatch")
    assert files_below(alone.settings.uploads_dir) == []
    one = alone.http.post(
        f"{UPLOAD_PATH}?sha256={hashlib.sha256(b'x').hexdigest()}", content=b"x", headers=kind
    )
    assert one.status_code == 202
    Uploads(alone.settings.uploads_dir).remove(one.json()["id"])


def test_an_upload_that_is_not_called_an_archive_is_refused(alone: Alone) -> None:
    refused = upload(alone.http, b"{}", **{"Content-Type": "application/json"})
    assert (refused.status_code, refused.json()["type"]) == (
        415,
        "/problems/unsupported-media-type",
    )


def request_head(alone: Alone, length: int) -> bytes:
    headers = {**alone.headers, **repr_digest(b""), "Content-Length": str(length)}
    lines = [f"POST {UPLOAD_PATH} HTTP/1.1", "Host: x", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def connect(alone: Alone) -> socket.socket:
    url = httpx.URL(alone.url)
    assert url.port is not None
    return socket.create_connection((url.host, url.port), timeout=10)


def test_an_announced_length_over_the_limit_is_refused_unread(alone: Alone) -> None:
    with connect(alone) as connection:
        connection.sendall(request_head(alone, alone.settings.max_upload_bytes + 1))
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")
    assert files_below(alone.settings.uploads_dir) == []


def test_a_client_that_goes_away_leaves_nothing(alone: Alone) -> None:
    with connect(alone) as connection:
        connection.sendall(request_head(alone, 5_000_000) + bytes(2_000_000))
        until(lambda: files_below(alone.settings.uploads_dir) != [])
    until(lambda: files_below(alone.settings.uploads_dir) == [])
    assert alone.http.get("/v1/admin/registrations").status_code == 200


@pytest.mark.parametrize(("fault", "error"), [("size", TooLarge), ("client", UploadBroken)])
def test_an_upload_of_unknown_length_is_counted_while_it_arrives(
    tmp_path: Path, fault: str, error: type[Exception]
) -> None:
    arrived = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal arrived
        for _ in range(100):
            arrived += 1
            yield bytes(1_000_000)
            if fault == "client" and arrived == 2:
                raise ClientDisconnect

    with pytest.raises(error):
        asyncio.run(receive(body(), Uploads(tmp_path), new_id(), "0" * 64, 3_500_000))
    assert arrived <= 4
    assert files_below(tmp_path) == []


def test_leftovers_go_but_not_what_is_needed_or_on_its_way(
    sessions: SessionFactory, tmp_path: Path
) -> None:
    uploads = Uploads(tmp_path / "uploads")
    needed, done, arriving, crashed = (new_id() for _ in range(4))
    with sessions.begin() as session:
        for id_ in (needed, done):
            registrations.create(session, id_, {"sha256": "0"}, None)
        session.flush()
        registrations.get(session, done).state = "failed"
    old = time.time() - 7200
    for id_ in (needed, done, arriving, crashed):
        uploads.partial(id_).touch()
        uploads.archive(id_).touch()
        (uploads.work_folder(id_) / "file").touch()
    for id_ in (needed, crashed):
        for path in (tmp_path / "uploads").glob(f"{id_}.*"):
            os.utime(path, (old, old))
    remove_leftovers(sessions, uploads)
    assert uploads.ages().keys() == {needed, arriving}
