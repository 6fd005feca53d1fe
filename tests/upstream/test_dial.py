"""Opening connections: TLS, CONNECT tunnels, addresses, and every way they fail."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from kiroproxy.errors import ConnectError, UpstreamTimeoutError
from kiroproxy.upstream import ProxyTable, UpstreamClient
from kiroproxy.upstream.dial import connect_socket
from tests.upstream.peers import CHUNKED_HEAD, PATIENT, Peer, Server, Tls, chunk, serve, sized

SECRET = "hunter2"
HEADERS = [(b"authorization", b"Bearer hunter2")]


async def ok(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.send(sized(b"ok"))


async def fetch(client: UpstreamClient, url: str, body: bytes = b"{}") -> bytes:
    response = await client.send("POST", url, HEADERS, body, PATIENT)
    return await response.read(1 << 20)


# -- TLS


async def test_tls_connection_is_made_and_reused(tls: Tls) -> None:
    client = UpstreamClient(tls=tls.client)
    async with serve(ok, tls=tls.server("localhost")) as server:
        for _ in range(3):
            assert await fetch(client, server.url) == b"ok"
        assert len(server.peers) == 1
        ssl_object = server.peers[0].writer.get_extra_info("ssl_object")
        assert ssl_object.selected_alpn_protocol() == "http/1.1"
        await client.aclose()


async def test_big_body_and_stream_over_tls(tls: Tls) -> None:
    async def script(peer: Peer) -> None:
        sizes.append(len(await peer.request()))
        await peer.send(CHUNKED_HEAD, *[chunk(b"x" * 1000)] * 500, b"0\r\n\r\n")

    sizes: list[int] = []
    client = UpstreamClient(tls=tls.client)
    async with serve(script, tls=tls.server("localhost")) as server:
        assert await fetch(client, server.url, b"y" * 5_000_000) == b"x" * 500_000
        assert sizes[0] > 5_000_000
        await client.aclose()


@pytest.mark.parametrize("name", ["other.example", "127.0.0.1"])
async def test_certificate_for_another_name_is_refused(tls: Tls, name: str) -> None:
    client = UpstreamClient(tls=tls.client)
    async with serve(ok, tls=tls.server(name)) as server:
        with pytest.raises(ConnectError, match="certificate of localhost is not trusted") as caught:
            await fetch(client, server.url)
        assert SECRET not in str(caught.value)
        assert repr(client.pool) == "<Pool [] waiting=0>"
        assert not any(peer.asked for peer in server.peers)


async def test_certificate_of_an_unknown_ca_is_refused(tls: Tls, tmp_path: Path) -> None:
    client = UpstreamClient(tls=Tls(tmp_path).client)
    async with serve(ok, tls=tls.server("localhost")) as server:
        with pytest.raises(ConnectError, match="SSL_CERT_FILE"):
            await fetch(client, server.url)


async def test_peer_that_speaks_no_tls(tls: Tls) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    client = UpstreamClient(tls=tls.client)
    async with serve(script) as server:
        with pytest.raises(ConnectError, match="localhost"):
            await fetch(client, server.url.replace("http://127.0.0.1", "https://localhost"))


async def test_tls_without_a_context() -> None:
    with pytest.raises(ConnectError, match="TLS"):
        await fetch(UpstreamClient(), "https://localhost:1/")


async def test_hanging_tls_handshake_times_out_and_closes(tls: Tls) -> None:
    client = UpstreamClient(tls=tls.client)
    async with serve(Peer.client_closed) as server:
        url = server.url.replace("http://127.0.0.1", "https://localhost")
        with pytest.raises(UpstreamTimeoutError) as caught:
            await client.send("GET", url, [], b"", replace(PATIENT, connect_s=0.2))
        assert caught.value.phase == "connect"
        await server.peers[0].seen_close.wait()
        assert repr(client.pool) == "<Pool [] waiting=0>"


async def test_cut_over_tls_is_seen_by_the_server_when_cancelled(tls: Tls) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD + chunk(b"x"))
        await peer.client_closed()

    client = UpstreamClient(tls=tls.client)
    got: list[bytes] = []
    async with serve(script, tls=tls.server("localhost")) as server:
        response = await client.send("GET", server.url, [], b"", PATIENT)
        task = asyncio.create_task(response.pipe(got.append))
        while not got:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await server.peers[0].seen_close.wait()


# -- proxies


class ConnectProxy:
    """A real forward proxy: CONNECT tunnels, and absolute-form requests answered by itself."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        self.heads: list[bytes] = []
        self._answer = answer

    async def script(self, peer: Peer) -> None:
        head = await peer.head()
        self.heads.append(head)
        if not head.startswith(b"CONNECT "):
            await peer.send(sized(b"from the proxy"))
            return
        await peer.send(self._answer)
        if b" 200 " in self._answer:
            port = int(head.split()[1].rpartition(b":")[2])
            await _splice(peer, port)


async def _splice(peer: Peer, port: int) -> None:
    """Copy both ways until either side ends; every name resolves to this machine."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    pumps = [
        asyncio.create_task(_pump(peer.reader, writer)),
        asyncio.create_task(_pump(reader, peer.writer)),
    ]
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pump in pumps:
            pump.cancel()
        writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)


def _through(proxy: Server, user_info: str = "") -> ProxyTable:
    return ProxyTable.from_env({"ALL_PROXY": f"http://{user_info}127.0.0.1:{proxy.port}"})


@contextlib.asynccontextmanager
async def tunnelled(tls: Tls) -> AsyncIterator[tuple[Server, Server, ConnectProxy]]:
    """A TLS server that calls itself kiro.example, and a proxy that leads there."""
    proxy = ConnectProxy()
    async with (
        serve(ok, tls=tls.server("kiro.example")) as server,
        serve(proxy.script) as proxy_server,
    ):
        yield server, proxy_server, proxy


async def test_https_goes_through_a_tunnel(tls: Tls) -> None:
    async with tunnelled(tls) as (server, proxy_server, proxy):
        client = UpstreamClient(tls=tls.client, proxies=_through(proxy_server, "me:pw@"))
        url = f"https://kiro.example:{server.port}/"
        for _ in range(3):
            assert await fetch(client, url) == b"ok"
        await client.aclose()
        authority = b"kiro.example:%d" % server.port
        assert proxy.heads == [
            b"CONNECT " + authority + b" HTTP/1.1\r\nhost: " + authority + b"\r\n"
            b"proxy-authorization: Basic bWU6cHc=\r\n\r\n"
        ]


async def test_tls_through_a_tunnel_is_end_to_end(tls: Tls) -> None:
    async with tunnelled(tls) as (server, proxy_server, _):
        client = UpstreamClient(tls=tls.client, proxies=_through(proxy_server))
        with pytest.raises(ConnectError, match=r"certificate of other\.example"):
            await fetch(client, f"https://other.example:{server.port}/")
        assert repr(client.pool) == "<Pool [] waiting=0>"


async def test_dead_while_idle_through_a_tunnel(tls: Tls) -> None:
    async with tunnelled(tls) as (server, proxy_server, _):
        client = UpstreamClient(tls=tls.client, proxies=_through(proxy_server))
        url = f"https://kiro.example:{server.port}/"
        await fetch(client, url)
        server.peers[0].writer.close()
        while repr(client.pool) != "<Pool [] waiting=0>":
            await asyncio.sleep(0.001)
        assert await fetch(client, url) == b"ok"
        await client.aclose()


async def test_plain_http_is_asked_for_in_absolute_form() -> None:
    proxy = ConnectProxy()
    async with serve(proxy.script) as proxy_server:
        client = UpstreamClient(proxies=_through(proxy_server, "me:pw@"))
        assert await fetch(client, "http://kiro.example:8080/a?b") == b"from the proxy"
        await client.aclose()
    assert proxy.heads[0].startswith(b"POST http://kiro.example:8080/a?b HTTP/1.1\r\n")
    assert b"\r\nhost: kiro.example:8080\r\n" in proxy.heads[0]
    assert b"\r\nproxy-authorization: Basic bWU6cHc=\r\n" in proxy.heads[0]


async def test_loopback_is_not_proxied() -> None:
    table = ProxyTable.from_env({"ALL_PROXY": "http://127.0.0.1:1"})
    client = UpstreamClient(proxies=table)
    async with serve(ok) as server:
        assert await fetch(client, server.url) == b"ok"
        await client.aclose()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "user name and password"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "403"),
        (b"HTTP/1.1 200 OK\r\n\r\nsurprise", "before the tunnel was used"),
        (b"nonsense\r\n\r\n", "HTTP"),
        (b"HTTP/1.1 2", "closed"),
        (b"", "closed"),
    ],
)
async def test_refused_tunnel(tls: Tls, answer: bytes, expected: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(answer)

    async with serve(script) as proxy_server:
        client = UpstreamClient(tls=tls.client, proxies=_through(proxy_server, f"me:{SECRET}@"))
        with pytest.raises(ConnectError, match=expected) as caught:
            await fetch(client, "https://kiro.example/")
        assert f"127.0.0.1:{proxy_server.port}" in str(caught.value)
        assert SECRET not in str(caught.value)
        assert repr(client.pool) == "<Pool [] waiting=0>"


@pytest.mark.parametrize("stage", ["tunnel", "handshake"])
async def test_cancelled_while_tunnelling_closes_the_connection(tls: Tls, stage: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        if stage == "handshake":
            await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
            await peer.reader.read(1)
        reached.set()
        await peer.client_closed()

    reached = asyncio.Event()
    async with serve(script) as proxy_server:
        client = UpstreamClient(tls=tls.client, proxies=_through(proxy_server))
        task = asyncio.create_task(fetch(client, "https://kiro.example/"))
        await reached.wait()
        task.cancel()
        await asyncio.wait([task])
        await proxy_server.peers[0].seen_close.wait()
        assert repr(client.pool) == "<Pool [] waiting=0>"


# -- addresses


def _closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def test_refused_connection_names_host_and_port() -> None:
    port = _closed_port()
    with pytest.raises(ConnectError, match=rf"127\.0\.0\.1:{port}.*refused") as caught:
        await fetch(UpstreamClient(), f"http://127.0.0.1:{port}/")
    assert SECRET not in str(caught.value)


async def test_refused_proxy_is_named() -> None:
    port = _closed_port()
    table = ProxyTable.from_env({"HTTP_PROXY": f"http://me:{SECRET}@127.0.0.1:{port}"})
    with pytest.raises(ConnectError, match=rf"the proxy http://127\.0\.0\.1:{port}") as caught:
        await fetch(UpstreamClient(proxies=table), "http://kiro.example/")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "a..example"])
async def test_impossible_name(host: str) -> None:
    with pytest.raises(ConnectError, match=host.replace(".", r"\.")):
        await fetch(UpstreamClient(), f"http://{host}/")


class AddressBook:
    """Makes one loop resolve one name as a test says; everything else is the loop's own."""

    def __init__(self, *addresses: tuple[str, int]) -> None:
        self._addresses = addresses
        self.listeners: list[socket.socket] = []

    async def resolve(self, host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
        return [(socket.AF_INET, address) for address in self._addresses]


async def test_second_address_is_tried_when_the_first_refuses() -> None:
    async with serve(ok) as server:
        book = AddressBook(("127.0.0.1", _closed_port()), ("127.0.0.1", server.port))
        sock = await connect_socket("kiro.example", 80, book.resolve)
        assert sock.getpeername() == ("127.0.0.1", server.port)
        sock.close()


async def test_second_address_is_tried_when_the_first_is_silent() -> None:
    with _full_backlog() as silent:
        async with serve(ok) as server:
            book = AddressBook(silent, ("127.0.0.1", server.port))
            sock = await connect_socket("kiro.example", 80, book.resolve)
            assert sock.getpeername() == ("127.0.0.1", server.port)
            sock.close()


async def test_all_addresses_refuse() -> None:
    book = AddressBook(("127.0.0.1", _closed_port()), ("127.0.0.1", _closed_port()))
    with pytest.raises(ConnectionRefusedError):
        await connect_socket("kiro.example", 80, book.resolve)


async def test_cancelled_connecting_closes_its_sockets() -> None:
    """Under ``filterwarnings = error`` a socket left open fails the run."""
    with _full_backlog() as silent:
        book = AddressBook(silent, silent)
        task = asyncio.create_task(connect_socket("kiro.example", 80, book.resolve))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@contextlib.contextmanager
def _full_backlog():  # type: ignore[no-untyped-def]
    """An address that takes no more connections and refuses none: SYNs go unanswered."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.connect(listener.getsockname())
        yield listener.getsockname()


async def test_localhost_resolves_and_connects() -> None:
    async with serve(ok) as server:
        client = UpstreamClient()
        assert await fetch(client, f"http://localhost:{server.port}/") == b"ok"
        await client.aclose()
