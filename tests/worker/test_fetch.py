"""Bundles fetched by URL from a server that may be hostile."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from worker.fetch import FetchFailed, UrlRefused, check_bundle_url, fetch

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """A server of one file, with faults by path."""

    def do_GET(self) -> None:
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", "/bundle.tar.gz")
        elif self.path == "/missing":
            self.send_response(404)
        else:
            self.send_response(200)
        length = {"/cut": len(CONTENT) + 5, "/huge": 10**12}.get(self.path, len(CONTENT))
        if self.path != "/endless":
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.path != "/endless":
            self.wfile.write(CONTENT)
            return
        try:
            while True:
                self.wfile.write(CONTENT)
        except OSError:
            pass

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def get(url: str, target: Path, sha256: str = SHA256, **more: Any) -> None:
    kept: dict[str, Any] = {"hosts": ["127.0.0.1"], "development": True, "max_bytes": 2_000_000}
    fetch(url, sha256, target, **{**kept, **more})


def test_a_file_is_fetched_whole_and_its_progress_told(server: str, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    get(f"{server}/bundle.tar.gz", tmp_path / "x", on_bytes=lambda *now: told.append(now))
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/redirect", "302; redirects are not followed"),
        ("/missing", "404"),
        ("/cut", "no whole answer"),
        ("/huge", "more than 2,000,000 bytes"),
        ("/endless", "more than 2,000,000 bytes"),
    ],
)
def test_what_is_not_the_file_is_refused(
    server: str, tmp_path: Path, path: str, reason: str
) -> None:
    with pytest.raises(FetchFailed, match=reason):
        get(server + path, tmp_path / "x")
    written = (tmp_path / "x").stat().st_size if (tmp_path / "x").exists() else 0
    assert written <= 2_000_000


def test_another_hash_is_refused(server: str, tmp_path: Path) -> None:
    with pytest.raises(FetchFailed, match="another sha256"):
        get(f"{server}/bundle.tar.gz", tmp_path / "x", "0" * 64)


def test_only_allowed_hosts_are_called(server: str, tmp_path: Path) -> None:
    for hosts in ([], ["bundles.example.com"]):
        with pytest.raises(UrlRefused, match="AUTODISTIL_BUNDLE_HOSTS"):
            get(f"{server}/bundle.tar.gz", tmp_path / "x", hosts=hosts)
    check_bundle_url("https://B.example.com/x", ["b.Example.com"], development=False)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.7", "169.254.169.254", "::1", "fd00::1"])
def test_an_allowed_name_that_leads_into_a_private_network_is_not_called(
    tmp_path: Path, address: str
) -> None:
    async def resolver(host: str, port: int) -> list[str]:
        return [address]

    with pytest.raises(UrlRefused, match="not an address of the public internet"):
        get(
            "https://bundles.example.com/x",
            tmp_path / "x",
            hosts=["bundles.example.com"],
            development=False,
            resolver=resolver,
        )
    assert not (tmp_path / "x").exists()


def test_a_host_that_does_not_answer_is_a_failed_fetch(tmp_path: Path) -> None:
    with pytest.raises(FetchFailed, match="no whole answer"):
        get("http://127.0.0.1:9/x", tmp_path / "x")
