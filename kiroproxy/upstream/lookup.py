"""Looking names up, in a few threads of our own.

Not by the event loop: uvloop's lookups run in libuv's threads, and where the system starts none of those
(a limit on a user's processes, on a container's or a unit's tasks) libuv ends the whole process. asyncio's
run in the threads that all work on files waits for, and a silent name server holds each for half a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections import deque
from typing import Any, Final

from kiroproxy.errors import ConnectError

MOST_THREADS: Final = 4  # as many as libuv has

Info = tuple[Any, ...]
"""As ``socket.getaddrinfo`` gives them."""


class _Order:
    """One name to look up, and who waits for it."""

    def __init__(self, host: str | bytes, port: int) -> None:
        self._host = host
        self._port = port
        self._loop = asyncio.get_running_loop()
        self.found: asyncio.Future[list[Info]] = self._loop.create_future()

    def work(self) -> None:
        """In a thread."""
        infos: list[Info] = []
        failure: Exception | None = None
        try:
            infos = list(socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM))
        except Exception as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._tell, infos, failure)

    def _tell(self, infos: list[Info], failure: Exception | None) -> None:
        if self.found.done():  # given up
            return
        if failure is None:
            self.found.set_result(infos)
        else:
            self.found.set_exception(failure)


class Lookups:
    """At most MOST_THREADS at once; others wait in line. Threads end when nothing waits, and the end of
    the program does not wait for them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._line: deque[_Order] = deque()
        self._threads = 0

    async def addresses(self, host: str | bytes, port: int) -> list[Info]:
        """Raises what ``socket.getaddrinfo`` does, and ConnectError when there is no thread for it."""
        order = _Order(host, port)
        with self._lock:
            self._line.append(order)
            is_more = self._threads < MOST_THREADS
            self._threads += is_more
        if is_more:
            self._start(order)
        return await order.found

    def _start(self, order: _Order) -> None:
        try:
            threading.Thread(target=self._work, name="names", daemon=True).start()
        except RuntimeError:
            with self._lock:
                self._threads -= 1
                if self._threads:
                    return  # one that is there will come to it
                self._line.remove(order)
            raise ConnectError(
                "no name can be looked up: the system starts no more threads; raise the limit on "
                "processes (ulimit -u), or on tasks (TasksMax, --pids-limit)"
            ) from None

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._line:
                    self._threads -= 1
                    return
                order = self._line.popleft()
            order.work()


lookups: Final = Lookups()
