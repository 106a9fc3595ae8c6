"""Calls to addresses that a user named, which must not reach what the user could not.

A name is resolved once, every address that it has is checked, and the connection is made to one of
them: a name that resolves to something else a moment later changes nothing. TLS is checked against
the name, by the authorities that `certifi` and the system know, or the file SSL_CERT_FILE in place
of the system's. There are no redirects, no proxies, and no answers of any length.
"""

import asyncio
import functools
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import SplitResult, urlsplit

import httpcore

from autodistil.errors import AutoDistilError

Resolver = Callable[[str, int], Awaitable[list[str]]]
"""From a name and a port to its addresses."""

_PORTS = (443, 8443)
_CONNECT_SECONDS = 5.0
_TOTAL_SECONDS = 10.0
_ANSWER_BYTES = 1024
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)", re.ASCII)
_LOCAL_NAMES = ("localhost", "local", "internal", "localdomain", "home", "lan", "intranet")
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
# For protocols and relays, of which `is_global` of Python 3.11 knows a part.
_SPECIAL = (ipaddress.ip_network("192.0.0.0/24"), ipaddress.ip_network("192.88.99.0/24"))
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Of their own: names whose servers do not answer must not hold up what else runs in threads.
_RESOLVERS = ThreadPoolExecutor(8, thread_name_prefix="resolver")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressRefused(AutoDistilError):
    """An address that may not be called. Callers make it a problem that says what it was for."""


def check_url(url: str, *, development: bool) -> SplitResult:
    """Refuse a URL that may not be called, as far as that shows without resolving its name.

    Args:
        url: What a user gave.
        development: Allow http, any port, and addresses of this machine and of private networks.

    Raises:
        AddressRefused: Says what is wrong with it.
    """
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url or len(url) > 2000:
        raise AddressRefused("The URL must be printable ASCII without spaces, 2,000 at most.")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError as error:
        raise AddressRefused(f"The URL cannot be read ({error}).") from error
    if parts.scheme not in (("https", "http") if development else ("https",)):
        raise AddressRefused("The URL must begin with https://.")
    if parts.username is not None or parts.password is not None:
        raise AddressRefused("The URL must not hold a user or a password.")
    if parts.fragment:
        raise AddressRefused("The URL must not have a fragment.")
    if port is not None and port not in _PORTS and not development:
        raise AddressRefused("The URL's port must be 443 or 8443.")
    _check_host(host, development)
    return parts


def _check_host(host: str, development: bool) -> None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        labels = host.split(".")
        if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
            raise AddressRefused("The URL's host is not a name or an address.") from None
        # 127.1, 0x7f000001, and 2130706433 are addresses to the system's resolver.
        if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]):
            raise AddressRefused("The URL's host is not written as an address is.") from None
        if not development and (len(labels) == 1 or labels[-1] in _LOCAL_NAMES):
            raise AddressRefused(f"{host} is the name of something local.") from None
    else:
        check_address(address, development=development)


def check_address(address: _Address, *, development: bool) -> None:
    """Refuse an address that is not one of the public internet.

    Raises:
        AddressRefused: It is private, local, reserved, multicast, or wraps such an address.
    """
    if development and (address.is_loopback or _is_of_private_network(address)):
        return
    for inner in (address, *_wrapped(address)):
        if not _is_public(inner):
            raise AddressRefused(f"{address} is not an address of the public internet.")


def _is_public(address: _Address) -> bool:
    if address in _NAT64:
        return True  # the address that it wraps is looked at, too
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        return address in _GLOBAL_UNICAST
    return not any(address in network for network in _SPECIAL)


def _is_of_private_network(address: _Address) -> bool:
    odd = address.is_link_local or address.is_unspecified or address.is_multicast
    return address.is_private and not address.is_reserved and not odd


def _wrapped(address: _Address) -> Iterable[ipaddress.IPv4Address]:
    """The IPv4 addresses that packets to an IPv6 address may be sent on to."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    wrapped = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        wrapped.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [inner for inner in wrapped if inner is not None]


async def resolve(host: str, port: int) -> list[str]:
    """Addresses of a name, as the system's resolver knows them."""
    look_up = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_RESOLVERS, look_up)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Dials the checked address of a name; the name is resolved once per connection.

    Args:
        development: See `check_url`.
        resolver: Finds the addresses.
    """

    def __init__(self, *, development: bool, resolver: Resolver = resolve) -> None:
        self._development, self._resolver = development, resolver
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers, if all of them may be called.

        Raises:
            AddressRefused: One of them may not.
            httpcore.ConnectError: The name has no address, or none answers.
        """
        try:
            found = await self._resolver(host, port)
        except OSError as error:
            raise httpcore.ConnectError(f"{host} cannot be resolved") from error
        for address in found:
            check_address(ipaddress.ip_address(address), development=self._development)
        last: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in found[:3]:
            try:
                return await self._network.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last


async def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    development: bool,
    resolver: Resolver = resolve,
) -> int:
    """POST to an address that a user named; its answer's body is read no further than 1 KB.

    Returns:
        The status of the answer, a redirect's too: none is followed.

    Raises:
        AddressRefused: The address may not be called.
        TimeoutError: There was no answer within 10 s.
        httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException: No answer.
    """
    parts = check_url(url, development=development)
    backend = CheckedBackend(development=development, resolver=resolver)
    seconds = {"connect": _CONNECT_SECONDS, "read": _TOTAL_SECONDS, "write": _TOTAL_SECONDS}
    all_headers = {**headers, "Host": parts.netloc, "Content-Length": str(len(body))}
    async with (
        # The timeouts above are per step; a server that drips is ended by this one.
        asyncio.timeout(_TOTAL_SECONDS),
        httpcore.AsyncConnectionPool(network_backend=backend, retries=0) as pool,
        pool.stream(
            "POST",
            url,
            headers=list(all_headers.items()),
            content=body,
            extensions={"timeout": seconds},
        ) as answer,
    ):
        read = 0
        async for chunk in answer.aiter_stream():
            read += len(chunk)
            if read >= _ANSWER_BYTES:
                break
        return int(answer.status)
