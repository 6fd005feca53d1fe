"""Opening a connection: addresses, TCP, the proxy's tunnel, TLS.

Everything that fails here failed before a request byte left, so all of it is ConnectError, worded
for a person and naming the host, never a header or a proxy password. Time limits are the caller's.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import itertools
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, cast

from kiroproxy.errors import ConnectError, PeerProtocolError, TransportError
from kiroproxy.net import lookup_name
from kiroproxy.upstream.connection import Connection
from kiroproxy.upstream.head import HeadReader
from kiroproxy.upstream.lookup import lookups
from kiroproxy.upstream.origin import Origin
from kiroproxy.upstream.proxy import Proxy, ProxyTable

HAPPY_EYEBALLS_DELAY_S: Final = 0.25
"""Head start of one address over the next: the "connection attempt delay" of RFC 8305 §5."""

Address = tuple[int, Any]  # address family, what sock_connect wants
Resolver = Callable[[str, int], Awaitable[list[Address]]]


class Dialer:
    """Opens connections to origins, directly or through the proxy that is set for them."""

    def __init__(
        self,
        tls: ssl.SSLContext | None,
        proxies: ProxyTable,
        resolver: Resolver | None = None,
    ) -> None:
        self._tls = tls
        self._proxies = proxies
        self._resolver = resolver or resolve

    def proxy_for(self, origin: Origin) -> Proxy | None:
        return self._proxies.choose(origin)

    async def dial(self, origin: Origin, on_closed: Callable[[Connection], None]) -> Connection:
        """A NEW connection, TLS done where the scheme asks for it. Raises ConnectError."""
        connection = Connection(origin, on_closed)
        proxy = self.proxy_for(origin)
        try:
            if proxy is not None and origin.scheme == "https":
                await self._dial_tunnel(connection, proxy)
            else:
                peer = (proxy.host, proxy.port) if proxy else (origin.host, origin.port)
                await self._dial_direct(connection, *peer)
        except BaseException as error:
            connection.abort()
            if isinstance(error, (OSError, UnicodeError)):  # the latter: a name DNS cannot hold
                raise _connect_error(error, origin, proxy) from error
            raise
        return connection

    async def _dial_direct(self, connection: Connection, host: str, port: int) -> None:
        origin = connection.origin
        context = self._context() if origin.scheme == "https" else None
        sock = await connect_socket(host, port, self._resolver)
        with _closing_on_error(sock):
            await asyncio.get_running_loop().create_connection(
                lambda: connection,
                sock=sock,
                ssl=context,
                server_hostname=origin.host if context else None,
            )

    async def _dial_tunnel(self, connection: Connection, proxy: Proxy) -> None:
        origin = connection.origin
        context = self._context()
        loop = asyncio.get_running_loop()
        sock = await connect_socket(proxy.host, proxy.port, self._resolver)
        with _closing_on_error(sock):
            raw, tunnel = await loop.create_connection(lambda: _Tunnel(origin, proxy), sock=sock)
        try:
            await tunnel.opened
            transport = await loop.start_tls(raw, connection, context, server_hostname=origin.host)
        except BaseException:
            raw.abort()
            raise
        connection.connection_made(cast(asyncio.Transport, transport))

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            raise ConnectError("TLS is not set up, but the URL is https://")
        return self._tls


class _Tunnel(asyncio.Protocol):
    """CONNECT (RFC 9110 §9.3.6): asks the proxy for a tunnel; ``opened`` is done when it stands."""

    def __init__(self, origin: Origin, proxy: Proxy) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._proxy = proxy
        host = [(b"host", origin.authority.encode("ascii"))]
        self._head = HeadReader("CONNECT", origin.authority, host + proxy.headers())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._head.request)

    def data_received(self, data: bytes) -> None:
        try:
            head = self._head.feed(data)
        except PeerProtocolError as error:
            return self._refuse(f"did not answer in HTTP: {error}")
        if head is None:
            return None
        if head.status == 407:
            return self._refuse("wants a user name and password (407)")
        if not 200 <= head.status < 300:
            return self._refuse(f"refused the tunnel with status {head.status}")
        if self._head.rest:  # the client speaks first in TLS
            return self._refuse("sent bytes before the tunnel was used")
        if not self.opened.done():
            self.opened.set_result(None)
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self._refuse("closed the connection before the tunnel stood")

    def _refuse(self, reason: str) -> None:
        if not self.opened.done():
            self.opened.set_exception(ConnectError(f"the proxy {self._proxy} {reason}"))


@contextlib.contextmanager
def _closing_on_error(sock: socket.socket) -> Iterator[None]:
    """The event loop leaves a socket it was given open when it fails before making a transport."""
    try:
        yield
    except BaseException:
        sock.close()
        raise


async def resolve(host: str, port: int) -> list[Address]:
    """Addresses of ``host``, families taking turns so that a dead one costs one delay only."""
    with contextlib.suppress(ValueError):
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
        return [(family, (host, port))]
    infos = await lookups.addresses(lookup_name(host), port)
    first = [(info[0], info[4]) for info in infos if info[0] == infos[0][0]]
    second = [(info[0], info[4]) for info in infos if info[0] != infos[0][0]]
    pairs = itertools.zip_longest(first, second)
    return [address for pair in pairs for address in pair if address is not None]


async def connect_socket(host: str, port: int, resolver: Resolver = resolve) -> socket.socket:
    """A connected non-blocking socket, by happy eyeballs (RFC 8305). Raises OSError.

    Own code, since uvloop's create_connection has no ``happy_eyeballs_delay``.
    """
    addresses = await resolver(host, port)
    if len(addresses) == 1:  # nobody to race against
        return await _connect(addresses[0])
    # anyio takes 30 ms and 2 MB: loaded by the first race, not by every start
    from kiroproxy.upstream.race import race

    return await race(addresses, _connect, HAPPY_EYEBALLS_DELAY_S)


async def _connect(address: Address) -> socket.socket:
    family, where = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    with _closing_on_error(sock):
        sock.setblocking(False)
        try:
            sock.connect(where)
        except BlockingIOError:
            await _writable(sock)
            if number := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(number, os.strerror(number)) from None
    return sock


async def _writable(sock: socket.socket) -> None:
    """Until a connection stands or has failed. Not the loop's ``sock_connect``: uvloop's looks the address
    up once more, in a thread and by way of the codec "idna", and forgets an IPv6 address's scope."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def ready() -> None:
        if not done.done():
            done.set_result(None)

    loop.add_writer(sock, ready)
    try:
        await done
    finally:
        loop.remove_writer(sock)


def _connect_error(
    error: OSError | UnicodeError, origin: Origin, proxy: Proxy | None
) -> TransportError:
    where = f"the proxy {proxy}" if proxy else origin.authority
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConnectError(
            f"the TLS certificate of {origin.host} is not trusted: {error.verify_message}; behind a "
            "proxy that inspects TLS, set SSL_CERT_FILE to its CA"
        )
    if isinstance(error, ssl.SSLError):
        return ConnectError(f"no TLS connection to {origin.host}: {error.reason or 'failed'}")
    if isinstance(error, UnicodeError):
        return ConnectError(f"the name of {where} is not a host name")
    if isinstance(error, socket.gaierror):
        return ConnectError(f"the name of {where} does not resolve: {error.strerror}")
    # Not error.strerror: asyncio puts "Connect call failed" there.
    reason = os.strerror(error.errno) if error.errno else type(error).__name__
    return ConnectError(f"no connection to {where}: {reason}")
