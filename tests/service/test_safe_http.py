"""Addresses that users name are called only where they lead to the public internet."""

import asyncio
import ipaddress
import socket
import threading

import pytest

from tests.service.receiver import receiving
from worker import safe_http
from worker.safe_http import AddressRefused, check_address, check_url, post

HOSTILE = [
    "http://example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "//example.com/",
    "example.com",
    "",
    "https://",
    "https:///path",
    "https://user:password@example.com/",
    "https://user@example.com/",
    "https://@example.com/",
    "https://example.com:22/",
    "https://example.com:80/",
    "https://example.com:99999/",
    "https://example.com:x/",
    "https://example.com/#fragment",
    "https://example.com/a b",
    "https://example.com/\r\nHost: other",
    "https://example.com\\@10.0.0.1/",
    "https://exa\u200bmple.com/",
    "https://\u217f\u217f.com/",
    "https://127.0.0.1/",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0177.0.0.1/",
    "https://example.0x7f/",
    "https://0.0.0.0/",
    "https://0/",
    "https://10.1.2.3/",
    "https://172.16.0.1/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://192.0.0.192/",
    "https://198.18.0.1/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:a9fe:a9fe]/",
    "https://[::127.0.0.1]/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fc00::1]/",
    "https://[fd00:ec2::254]/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
    "https://[64:ff9b::10.0.0.1]/",
    "https://[64:ff9b:1::1]/",
    "https://[2002:7f00:1::]/",
    "https://[2001:0:7f00:1::]/",
    "https://[100::1]/",
    "https://[::1/",
    "https://localhost/",
    "https://localhost./",
    "https://LOCALHOST/",
    "https://api.localhost/",
    "https://metadata.google.internal/",
    "https://printer.local/",
    "https://intranet/",
    "https://-example.com/",
    "https://example..com/",
    "https://exam_ple.com/",
    "https://" + "a" * 64 + ".com/",
    "https://example.com/" + "a" * 2000,
]


@pytest.mark.parametrize("url", HOSTILE)
def test_a_hostile_url_is_refused_before_anything_is_resolved(url: str) -> None:
    with pytest.raises(AddressRefused):
        check_url(url, development=False)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hook?token=1",
        "https://example.com:443/",
        "https://hooks.example.com.:8443/",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]/",
        "https://xn--bcher-kva.example.com/",
    ],
)
def test_a_public_https_url_is_taken(url: str) -> None:
    check_url(url, development=False)


def test_development_allows_this_machine_but_not_what_only_machines_see() -> None:
    check_url("http://127.0.0.1:9999/hook", development=True)
    check_url("http://localhost:9999/hook", development=True)
    check_url("http://10.0.0.5:8080/hook", development=True)
    for url in ("http://169.254.169.254/", "http://0.0.0.0/", "http://u:p@127.0.0.1/", "ftp://x/"):
        with pytest.raises(AddressRefused):
            check_url(url, development=True)


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["93.184.216.34", "192.168.0.1"],  # one bad address is enough
        ["::ffff:169.254.169.254"],
        ["fe80::1%eth0"],
        ["fd00::1"],
    ],
)
def test_a_name_that_resolves_to_a_private_address_is_not_called(addresses: list[str]) -> None:
    asked = []

    async def resolver(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return addresses

    with pytest.raises(AddressRefused):
        asyncio.run(
            post("https://hooks.example.com/", b"", {}, development=False, resolver=resolver)
        )
    assert asked == [("hooks.example.com", 443)]


def test_a_name_is_resolved_once_and_that_address_is_called() -> None:
    with (
        receiving("127.0.0.1") as first,
        receiving("127.0.0.2", first.port) as second,
    ):
        answers = iter([["127.0.0.1"], ["127.0.0.2"]])

        async def rebinding(host: str, port: int) -> list[str]:
            return next(answers)

        url = f"http://hooks.example.com:{first.port}/hook"
        status = asyncio.run(post(url, b"{}", {}, development=True, resolver=rebinding))
    assert status == 204
    ((headers, body),) = first.calls
    assert (headers["host"], body) == (f"hooks.example.com:{first.port}", b"{}")
    assert second.calls == []
    assert next(answers) == ["127.0.0.2"]  # was never asked for


def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    with receiving() as receiver:

        async def resolver(host: str, port: int) -> list[str]:
            return ["127.0.0.3", "127.0.0.1"]  # nobody listens at the first

        url = f"http://hooks.example.com:{receiver.port}/"
        assert asyncio.run(post(url, b"", {}, development=True, resolver=resolver)) == 204


def test_the_system_resolver_finds_this_machine() -> None:
    assert "127.0.0.1" in asyncio.run(safe_http.resolve("localhost", 80))


def test_redirects_and_proxies_are_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as target, receiving() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, target.url)
        receiver.statuses, receiver.headers = [302], {"Location": target.url}
        assert asyncio.run(post(receiver.url, b"", {}, development=True)) == 302
    assert (len(receiver.calls), target.calls) == (1, [])


def test_an_endless_answer_is_cut_off() -> None:
    with receiving() as receiver:
        receiver.body = b"x" * 50_000_000
        assert asyncio.run(post(receiver.url, b"", {}, development=True)) == 204


def test_a_server_that_drips_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_http, "_TOTAL_SECONDS", 0.5)
    stop = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            while not stop.wait(0.1):
                connection.sendall(b"H")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        try:
            with pytest.raises(TimeoutError):
                asyncio.run(post(url, b"", {}, development=True))
        finally:
            stop.set()
            thread.join()


def test_every_wrapped_address_is_looked_at() -> None:
    check_address(ipaddress.ip_address("64:ff9b::8.8.8.8"), development=False)
    check_address(ipaddress.ip_address("2002:808:808::"), development=False)
    for wrapped in ("64:ff9b::7f00:1", "2002:a00:1::", "::ffff:192.168.0.1"):
        with pytest.raises(AddressRefused):
            check_address(ipaddress.ip_address(wrapped), development=False)
