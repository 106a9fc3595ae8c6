"""Downloads over HTTP: parts, conditions, and what is refused."""

import base64
import hashlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.stack import Stack


@pytest.fixture(scope="module")
def artifact(stack: Stack) -> dict[str, Any]:
    (artifact,) = stack.wait(stack.ask({"macs": "34M"})["id"])["artifacts"]
    found: dict[str, Any] = artifact
    return found


@pytest.fixture(scope="module")
def content(stack: Stack, artifact: dict[str, Any]) -> bytes:
    return stack.http.get(artifact["url"]).content


def download(stack: Stack, artifact: dict[str, Any], **headers: str) -> httpx.Response:
    """GET with headers, whose names are written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return stack.http.get(artifact["url"], headers=named)


def test_head_says_what_get_does_without_the_content(
    stack: Stack, artifact: dict[str, Any], content: bytes
) -> None:
    whole, head = stack.http.get(artifact["url"]), stack.http.head(artifact["url"])
    assert (whole.status_code, head.status_code, head.content) == (200, 200, b"")
    changing = ("date", "ratelimit", "ratelimit-policy")
    assert {k: v for k, v in head.headers.items() if k not in changing} == {
        k: v for k, v in whole.headers.items() if k not in changing
    }
    sha256 = hashlib.sha256(content)
    assert whole.headers["etag"] == f'"{sha256.hexdigest()}"'
    digest = base64.b64encode(sha256.digest()).decode()
    assert whole.headers["repr-digest"] == f"sha-256=:{digest}:"
    assert whole.headers["content-length"] == str(artifact["size_bytes"]) == str(len(content))
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["content-type"] == "application/gzip"
    assert whole.headers["content-disposition"] == 'attachment; filename="transformers.tar.gz"'
    assert whole.headers["last-modified"].endswith(" GMT")
    ranged_head = stack.http.head(artifact["url"], headers={"Range": "bytes=0-1"})
    assert ranged_head.status_code == 200  # parts are for GET


def parts(size: int) -> Iterator[tuple[str, int, int]]:
    yield "bytes=0-0", 0, 1
    yield "bytes=0-", 0, size
    yield f"bytes={size - 1}-", size - 1, size
    yield "bytes=-1", size - 1, size
    yield f"bytes=-{size * 2}", 0, size
    yield f"bytes=70000-{size * 2}", 70_000, size
    yield "bytes=65535-131072", 65_535, 131_073  # over the borders of what is read at once


def test_a_range_is_answered_with_that_part(
    stack: Stack, artifact: dict[str, Any], content: bytes
) -> None:
    for header, first, end in parts(len(content)):
        answer = download(stack, artifact, range=header)
        assert answer.status_code == 206, header
        assert answer.content == content[first:end], header
        assert answer.headers["content-range"] == f"bytes {first}-{end - 1}/{len(content)}"
        assert answer.headers["content-length"] == str(end - first)
        assert answer.headers["etag"] == f'"{artifact["sha256"]}"'


@pytest.mark.parametrize(
    "header", ["bytes=0-1,5-6", "bytes=" + ",".join(["0-"] * 500), "bytes=5-1", "lines=1-2", "x"]
)
def test_several_ranges_and_none_that_can_be_read_are_answered_with_the_whole(
    stack: Stack, artifact: dict[str, Any], content: bytes, header: str
) -> None:
    answer = download(stack, artifact, range=header)
    assert (answer.status_code, answer.content) == (200, content)


def test_a_range_behind_the_end_is_a_problem_that_says_the_size(
    stack: Stack, artifact: dict[str, Any]
) -> None:
    size = artifact["size_bytes"]
    refused = download(stack, artifact, range=f"bytes={size}-")
    assert refused.status_code == 416
    assert refused.headers["content-range"] == f"bytes */{size}"
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["type"].endswith("/range-not-satisfiable")
    assert stack.http.get(refused.json()["type"]).status_code == 200


def test_a_part_is_sent_only_if_the_client_began_with_the_same_content(
    stack: Stack, artifact: dict[str, Any], content: bytes
) -> None:
    etag = f'"{artifact["sha256"]}"'
    modified = stack.http.head(artifact["url"]).headers["last-modified"]
    for condition, status in (
        (etag, 206),
        (modified, 206),
        (f"W/{etag}", 200),
        ('"other"', 200),
        ("Mon, 05 Jan 2026 08:00:00 GMT", 200),
    ):
        answer = download(stack, artifact, range="bytes=5-9", if_range=condition)
        assert answer.status_code == status, condition
        assert answer.content == (content[5:10] if status == 206 else content)


def test_conditions_come_before_ranges(stack: Stack, artifact: dict[str, Any]) -> None:
    etag = f'"{artifact["sha256"]}"'
    known = download(stack, artifact, if_none_match=f'"x", {etag}', range="bytes=99999999999-")
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", etag)
    refused = download(stack, artifact, if_match='"other"', range="bytes=0-1")
    assert refused.status_code == 412
    assert refused.json()["type"].endswith("/precondition-failed")
    assert stack.http.get(refused.json()["type"]).status_code == 200
    assert download(stack, artifact, if_match=etag, range="bytes=0-1").status_code == 206


def test_an_artifact_whose_file_is_gone_or_cut_says_so(
    stack: Stack, artifact: dict[str, Any], content: bytes
) -> None:
    sha256 = artifact["sha256"]
    path = stack.settings.artifacts_dir / sha256[:2] / sha256
    try:
        path.unlink()
        gone = stack.http.get(artifact["url"])
        path.write_bytes(content[:-1])
        cut = stack.http.get(artifact["url"])
    finally:
        path.write_bytes(content)
    for answer in (gone, cut):
        assert answer.status_code == 410
        assert answer.json()["type"].endswith("/artifact-gone")
    assert stack.http.get(artifact["url"]).content == content
