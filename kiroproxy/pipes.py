"""Lines for a pipe or socket whose reader may stop reading: writing them never waits for it.

What does not fit waits in memory, up to a bound, and a thread writes it as soon as the reader goes on;
what is beyond the bound is counted, and the count told where it is missing. No thread while the reader
keeps up.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import stat
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

MAX_HELD_BYTES: Final = 1024 * 1024


class Sink(Protocol):
    """Takes bytes without waiting. ``fd``: what to poll."""

    fd: int

    def write(self, data: bytes) -> int:
        """How many it took. Raises OSError when the reader is gone."""

    def close(self) -> None: ...


def make_sink(fd: int) -> Sink | None:
    """For a pipe or socket; None for anything else. ``fd`` stays as it is, and open: other programs may
    write to the same pipe, and would stumble if it did not block any more."""
    if sys.platform == "win32":
        return None
    mode = os.fstat(fd).st_mode
    if stat.S_ISFIFO(mode):
        try:  # another description of the same pipe, which has flags of its own (Linux)
            own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return PolledSink(os.dup(fd))
        return OwnSink(own)
    return SocketSink(os.dup(fd)) if stat.S_ISSOCK(mode) else None


class OwnSink:
    """A pipe that does not block."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def write(self, data: bytes) -> int:
        try:
            return os.write(self.fd, data)
        except BlockingIOError:
            return 0

    def close(self) -> None:
        os.close(self.fd)


class PolledSink(OwnSink):
    """A pipe that blocks: a piece it has room for does not. Unless another writer takes the room in that
    very moment, so this is for systems that leave no other way."""

    def write(self, data: bytes) -> int:
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        at = 0
        while at < len(data) and poll.poll(0):
            at += os.write(self.fd, data[at : at + select.PIPE_BUF])
        return at


class SocketSink:
    """As systemd gives one for standard error."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._socket = socket.socket(fileno=fd)

    def write(self, data: bytes) -> int:
        try:
            return self._socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0

    def close(self) -> None:
        self._socket.close()


class PipeHandler(logging.Handler):
    """Writes records to ``sink``. ``complain`` is told of an OSError: there is no reader any more. The
    lines for it are lost, but there may be one again."""

    def __init__(self, sink: Sink, complain: Callable[[OSError], None]) -> None:
        super().__init__()
        self._sink = sink
        self._complain = complain
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._lost = 0
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
        else:
            self.put(line)

    def put(self, line: str) -> None:
        """Write a whole line, its end not included, or hold it. Does not fail."""
        with self.lock:  # type: ignore[union-attr]  # a handler has one
            self._put(_encoded(line))

    def _put(self, line: bytes) -> None:
        if self._thread is not None and not self._thread.is_alive():  # it is not, behind a fork
            self._thread = None
            self._held.clear()  # the process before the fork will write it
            self._held_bytes = self._lost = 0
        if self._thread is None:
            if self._is_closed:  # its descriptor may be somebody else's by now
                return
            self._write_held()  # for which no thread could be started
            if not self._held:
                line = self._written(line)
        if line:
            self._hold(line)

    def close(self) -> None:
        """What the reader takes at once is still written; the rest as long as the program lives."""
        with contextlib.suppress(OSError):
            self.acquire()
            try:
                if not self._is_closed:
                    self._is_closed = True
                    self._write_held()
                    if self._thread is None:
                        self._sink.close()
            finally:
                self.release()
        super().close()

    def _written(self, line: bytes) -> bytes:
        """What is left of it."""
        try:
            return line[self._sink.write(line) :]
        except OSError as error:
            self._complain(error)
            return b""

    def _hold(self, line: bytes) -> None:
        if self._held and self._held_bytes + len(line) > MAX_HELD_BYTES:
            self._lost += 1
            return
        self._held.append(line)
        self._held_bytes += len(line)
        if self._thread is None:
            thread = threading.Thread(target=self._wait, name="log", daemon=True)
            # Where the system starts no more threads, the next line tries again.
            with contextlib.suppress(RuntimeError):
                thread.start()
                self._thread = thread

    # -- the thread

    def _wait(self) -> None:
        """Until all is written that was held back."""
        poll = select.poll()
        poll.register(self._sink.fd, select.POLLOUT)
        while True:
            poll.poll()
            with self.lock:  # type: ignore[union-attr]  # a handler has one
                self._write_held()
                if not self._held:
                    self._thread = None
                    if self._is_closed:
                        self._sink.close()
                    return

    def _write_held(self) -> None:
        while self._held:
            line = self._held.popleft()
            left = self._written(line)
            self._held_bytes -= len(line) - len(left)
            if left:
                self._held.appendleft(left)
                return
            if not self._held and self._lost:
                self._held.append(self._missing())
                self._held_bytes += len(self._held[0])

    def _missing(self) -> bytes:
        lost, self._lost = self._lost, 0
        words = "%d lines are missing here: nobody read the log"
        record = logging.LogRecord("kiroproxy.log", logging.WARNING, "", 0, words, (lost,), None)
        self.filter(record)
        return _encoded(self.format(record))


def _encoded(line: str) -> bytes:
    return f"{line}\n".encode("utf-8", "replace")
