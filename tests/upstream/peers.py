"""Hand-written servers on real sockets: a test's script plays the service, byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import trustme

from kiroproxy.upstream import Timeouts
from kiroproxy.upstream.tls import build_tls_context

PATIENT = Timeouts(connect_s=30, first_byte_s=30, idle_s=30, total_s=30)


class Tls:
    """A private CA: contexts for both ends."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        path = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(str(path))
        self.client = build_tls_context({"SSL_CERT_FILE": str(path)})

    def server(self, name: str) -> ssl.SSLContext:
        """As real hosts, it would rather speak h2."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["h2", "http/1.1"])
        self.ca.issue_cert(name).configure_cert(context)
        return context


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.asked = False
        self.seen_close = asyncio.Event()

    async def head(self) -> bytes:
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.asked = True
        return head

    async def request(self) -> bytes:
        """One request, head and body."""
        head = await self.head()
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return head + await self.reader.readexactly(int(line.split(b":")[1]))
        return head

    async def send(self, *pieces: bytes) -> None:
        """Each piece in a write, with a turn of the loop between them."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)

    async def client_closed(self) -> None:
        """Returns once the client's end is closed, cleanly or by a reset."""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while await self.reader.read(65536):
                pass
        self.seen_close.set()

    def reset(self) -> None:
        """Close with a RST instead of a FIN."""
        self.writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


class Server:
    """Runs one script per accepted connection; ``peers`` in the order of their arrival."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None) -> None:
        self.peers: list[Peer] = []
        self.errors: list[BaseException] = []
        self.port = 0
        self.tasks: set[asyncio.Task[object]] = set()
        self._script = script
        self._tls = tls

    @property
    def url(self) -> str:
        scheme, host = ("https", "localhost") if self._tls else ("http", "127.0.0.1")
        return f"{scheme}://{host}:{self.port}"

    async def asked(self) -> None:
        """Returns once the first request's head has come."""
        while not (self.peers and self.peers[0].asked):
            await asyncio.sleep(0.001)

    async def on_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        peer = Peer(reader, writer)
        self.peers.append(peer)
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            await self._script(peer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client went away: its test looks at what the client saw
        except asyncio.CancelledError:
            pass  # the block ended; the streams of Python 3.11 trip over a cancelled handler
        except Exception as error:
            self.errors.append(error)
        finally:
            if not writer.is_closing():  # in early 3.11, closing TLS twice breaks its abort()
                writer.close()
            self.tasks.discard(task)

    async def stop(self) -> None:
        """Close what is open and end what still runs."""
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(set(self.tasks))
        for peer in self.peers:
            peer.writer.transport.abort()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await peer.writer.wait_closed()


@contextlib.asynccontextmanager
async def serve(script: Script, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """A listening server; an error in a script fails the test when the block ends."""
    server = Server(script, tls)
    listener = await asyncio.start_server(server.on_connection, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await server.stop()
    if server.errors:
        raise server.errors[0]


def sized(body: bytes, *, status: bytes = b"200 OK", extra: bytes = b"") -> bytes:
    """A response with a Content-Length. ``extra``: whole header lines."""
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, extra, len(body), body)


CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
