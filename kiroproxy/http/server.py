"""Listening, the set of connections, and the orderly end."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Sequence
from typing import Final

from kiroproxy.http import listening
from kiroproxy.http.answering import Answerer, ErrorRenderer
from kiroproxy.http.connection import Connection
from kiroproxy.http.limits import HttpLimits
from kiroproxy.http.responses import DateLine
from kiroproxy.http.router import Router
from kiroproxy.http.shared import Shared

__all__ = ["HttpLimits", "HttpServer"]

_log = logging.getLogger("kiroproxy.http")

_CANCEL_S: Final = 5.0
"""How long cancelled handlers may take to clean up before the server stops waiting for them."""


class HttpServer:
    """An HTTP/1.1 server over a Router. ``start``, then ``shutdown``; both once, on one loop."""

    def __init__(
        self,
        router: Router,
        limits: HttpLimits | None = None,
        *,
        error_renderer: ErrorRenderer,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """``error_renderer`` makes the answers to what never reaches a handler, or escapes from one;
        its request is None when the head did not parse. ``wall``: seconds since the epoch."""
        self._router = router
        self._limits = limits or HttpLimits()
        self._answerer = Answerer(error_renderer)
        self._date = DateLine(wall)
        self._shared: Shared | None = None
        self._listeners: list[asyncio.Server] = []
        self._settled = asyncio.Event()
        self._is_hurried = False

    @property
    def connections(self) -> int:
        """Open client connections."""
        return len(self._shared.connections) if self._shared else 0

    @property
    def strangers(self) -> int:
        """Those of them that have not shown the key."""
        return self._shared.guests.strangers if self._shared else 0

    @property
    def held_bytes(self) -> int:
        """Of requests, in memory."""
        return self._shared.guests.held_bytes if self._shared else 0

    @property
    def active(self) -> int:
        """Handlers at work."""
        return len(self._shared.tasks) if self._shared else 0

    async def start(
        self, host: str, port: int, sockets: Sequence[socket.socket] | None = None
    ) -> list[listening.Address]:
        """Listen. Port 0 takes a free one. Returns what was bound; raises OSError. ``sockets``: bound
        ones that somebody else has made; then host and port do not count."""
        loop = asyncio.get_running_loop()
        self._shared = shared = Shared(
            loop, self._router, self._limits, self._answerer, self._date, self._check_settled
        )
        backlog = self._limits.backlog

        def connection() -> Connection:
            return Connection(shared)

        if sockets is None:
            sockets = listening.bind(host, port, shared=False)
        try:
            for sock in sockets:
                listener = await loop.create_server(connection, sock=sock, backlog=backlog)
                self._listeners.append(listener)
        except BaseException:
            listening.close(sockets)
            raise
        return [listening.address_of(sock) for sock in sockets]

    async def shutdown(self, grace_s: float) -> None:
        """Stop accepting, close idle connections, let requests finish for ``grace_s`` seconds, then
        cancel what is left. Returns when no connection and no handler is left."""
        if not self._listeners or self._shared is None:
            return
        for listener in self._listeners:
            listener.close()
        self._shared.draining = True
        for connection in list(self._shared.connections):
            connection.drain()
        if self._is_hurried or not await self._wait_settled(grace_s):
            for connection in list(self._shared.connections):
                connection.kill()
            for task in list(self._shared.tasks):
                if not task.cancelling():  # a second time would interrupt its cleaning up
                    task.cancel()
            if not await self._wait_settled(_CANCEL_S):
                _log.error("%d handlers do not end although cancelled", self.active)
        self._listeners = []

    def hurry(self) -> None:
        """End the grace time of ``shutdown`` now, or leave it out."""
        self._is_hurried = True
        self._settled.set()

    async def _wait_settled(self, timeout_s: float) -> bool:
        self._settled.clear()
        self._check_settled()
        try:
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        except TimeoutError:
            return False
        return not self.connections and not self.active

    def _check_settled(self) -> None:
        shared = self._shared
        if shared is None or not (shared.connections or shared.tasks):
            self._settled.set()
