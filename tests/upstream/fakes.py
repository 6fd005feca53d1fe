"""A transport without a socket, for what is easier to see without a network."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from kiroproxy.upstream.connection import Connection
from kiroproxy.upstream.origin import Origin


class FakeTransport(asyncio.Transport):
    """Records writes and pauses; ``abort`` calls ``connection_lost`` in the next turn, as real ones do."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.reading = True
        self.aborted = False
        self.socket: socket.socket | None = None
        self._protocol = protocol
        protocol.connection_made(self)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.socket if name == "socket" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.limits = (high, low)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        if not self.aborted:
            self.aborted = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)


class FakeReceiver:
    """An exchange that only takes notes."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.causes: list[Exception | None] = []

    def received(self, data: bytes) -> None:
        self.data.append(data)

    def lost(self, cause: Exception | None) -> None:
        self.causes.append(cause)


class FakeDialer:
    """Opens connections without a network; ``gate`` holds it back, ``error`` makes it fail."""

    def __init__(self) -> None:
        self.opened: list[Connection] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def dial(self, origin: Origin, on_closed: Callable[[Connection], None]) -> Connection:
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        connection = Connection(origin, on_closed)
        FakeTransport(connection)
        self.opened.append(connection)
        return connection


class ManualClock:
    """Time that moves when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def wall(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds
