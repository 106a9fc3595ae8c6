"""Webhooks and bundles over TLS: the name is checked, whatever address the call goes to."""

import asyncio
import contextlib
import hashlib
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpcore
import pytest
import trustme

from worker.fetch import FetchFailed, fetch
from worker.safe_http import post

HOST = "hooks.example.com"
CONTENT = b"a bundle"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """A server with a certificate, that notes what callers asked for.

    Attributes:
        names: The names that callers asked for when the connection was made (SNI).
        hosts: The `Host` of every request.
        bodies: The body of every request.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.names: list[str | None] = []
        self.hosts: list[str] = []
        self.bodies: list[bytes] = []
        context.sni_callback = lambda connection, name, own: self.names.append(name)
        # The handshake is left to the thread of the connection.
        self.socket = context.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of callers that do not trust this server."""


class Handler(BaseHTTPRequestHandler):
    """Answers whatever is asked."""

    server: Server

    def do_POST(self) -> None:
        self.server.hosts.append(self.headers["host"])
        self.server.bodies.append(self.rfile.read(int(self.headers["content-length"] or 0)))
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving(context: ssl.SSLContext) -> Iterator[Server]:
    with Server(context) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def context(authority: trustme.CA) -> ssl.SSLContext:
    return server_context(authority)


def server_context(authority: trustme.CA) -> ssl.SSLContext:
    """What the server of HOST needs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(context)
    return context


@pytest.fixture
def _trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))


async def this_machine(host: str, port: int) -> list[str]:
    """A resolver by which every name leads here; the system's knows none of these names."""
    return ["127.0.0.1"]


def call_webhook(port: int, host: str = HOST) -> int:
    url = f"https://{host}:{port}/hook"
    return asyncio.run(post(url, b"{}", {}, development=True, resolver=this_machine))


def fetch_bundle(port: int, target: Path, host: str = HOST) -> None:
    url = f"https://{host}:{port}/bundle.tar.gz"
    fetch(
        *(url, SHA256, target),
        hosts=[host],
        development=True,
        max_bytes=1000,
        resolver=this_machine,
    )


@pytest.mark.usefixtures("_trusted")
def test_the_checked_address_is_called_and_the_certificate_is_that_of_the_name(
    context: ssl.SSLContext, tmp_path: Path
) -> None:
    with serving(context) as server:
        assert call_webhook(server.server_port) == 200
        fetch_bundle(server.server_port, tmp_path / "bundle.tar.gz")
        assert server.names == [HOST] * 2
        assert server.hosts == [f"{HOST}:{server.server_port}"] * 2
        assert server.bodies == [b"{}", b""]
    assert (tmp_path / "bundle.tar.gz").read_bytes() == CONTENT


@pytest.mark.usefixtures("_trusted")
def test_a_certificate_of_another_name_is_refused_before_anything_is_sent(
    context: ssl.SSLContext, tmp_path: Path
) -> None:
    with serving(context) as server:
        with pytest.raises(httpcore.ConnectError, match="mismatch"):
            call_webhook(server.server_port, "other.example.com")
        with pytest.raises(FetchFailed, match="no whole answer"):
            fetch_bundle(server.server_port, tmp_path / "x", "other.example.com")
        assert server.names == ["other.example.com"] * 2
        assert server.bodies == []
    assert not (tmp_path / "x").exists()


@pytest.mark.usefixtures("_trusted")
def test_a_certificate_of_an_authority_that_is_not_trusted_is_refused(tmp_path: Path) -> None:
    with serving(server_context(trustme.CA())) as server:
        with pytest.raises(httpcore.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            call_webhook(server.server_port)
        with pytest.raises(FetchFailed, match="no whole answer"):
            fetch_bundle(server.server_port, tmp_path / "x")
        assert server.bodies == []


def test_an_authority_of_ones_own_is_trusted_only_when_it_is_named(
    context: ssl.SSLContext,
) -> None:
    with serving(context) as server:
        with pytest.raises(httpcore.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            call_webhook(server.server_port)
        assert server.bodies == []
