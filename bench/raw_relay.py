"""A relay that copies bytes and nothing else: the least that standing in between can cost in Python.

It waits for a whole request like any HTTP server, opens or reuses no connection but its own client's
twin, and honours flow control. Run: ``python -m bench.raw_relay PORT UPSTREAM_PORT``.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import cast

from bench.loops import run


class Side(asyncio.Protocol):
    """One end of a pair. Bytes for an end that is not connected yet wait in ``waiting``."""

    def __init__(self, other: Side | None = None) -> None:
        self.other = other
        self.transport: asyncio.Transport | None = None
        self.waiting: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by class
        self.transport.writelines(self.waiting)
        self.waiting.clear()

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            return
        if self.other.transport is None:
            self.other.waiting.append(data)
        else:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()
        self.other = None


class ClientSide(Side):
    """The end that a client opened; opens its twin."""

    def __init__(self, upstream_port: int) -> None:
        super().__init__()
        self._upstream_port = upstream_port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.other = Side(self)
        self._opening = asyncio.ensure_future(self._open(self.other))

    async def _open(self, twin: Side) -> None:
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: twin, "127.0.0.1", self._upstream_port
            )
        except OSError:
            if self.transport is not None:
                self.transport.abort()


async def serve(port: int, upstream_port: int) -> None:
    server = await asyncio.get_running_loop().create_server(
        lambda: ClientSide(upstream_port), "127.0.0.1", port, backlog=2_048
    )
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        run(serve(int(sys.argv[1]), int(sys.argv[2])))
