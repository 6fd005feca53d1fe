"""Child processes of a parent that watches them: how they are made, and their lines to it.

Two pipes lead to a child. To the first it writes lines of JSON: one when it is ready, one when it leaves.
Nobody ever writes to the second: it ends when the parent does, however that happens, and then the child
stops too.

A child is in a process group of its own: Ctrl-C reaches the parent alone, which passes it on.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

EXIT_FAILED: Final = 1
HANDLED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
OWN: Final = frozenset({*HANDLED, signal.SIGCHLD})
"""What a parent cannot do without, however it was started: whoever starts it may have blocked or ignored
them, and both are inherited."""
RELOAD: Final = signal.SIGUSR1
"""How a child is told to read its settings again: SIGHUP is for the parent, so that no child does it alone.
Blocked in a child until it listens to it, so that it is not lost on one that has just been started."""
HURRY: Final = signal.SIGUSR2
"""How a child is told not to wait. Not a second SIGTERM: a supervisor of services may send the first one to
every process, and the parent sends one, too. A child that does not listen to it yet ends by it."""


@dataclass(frozen=True, slots=True)
class Link:
    """A child's line to its parent. ``life_fd`` becomes readable when the parent is gone."""

    status_fd: int
    life_fd: int

    def ready(self, message: dict[str, Any]) -> None:
        """Say that this process is ready, and what the parent should know. Once."""
        self._tell({"ready": message})

    def leaves(self) -> None:
        """Say that this process takes no more connections and will end."""
        self._tell({"leaves": True})

    def _tell(self, line: dict[str, Any]) -> None:
        left = json.dumps(line).encode() + b"\n"
        with contextlib.suppress(OSError):  # the parent is gone: ``life_fd`` says so
            while left:
                left = left[os.write(self.status_fd, left) :]


@dataclass(slots=True, eq=False)
class Child:
    """As the parent knows it. ``message``: what it told when it got ready. ``leaves``: whether it has said
    so."""

    pid: int
    status_fd: int
    started_s: float
    buffer: bytes = b""
    message: dict[str, Any] | None = None
    leaves: bool = False

    def read(self) -> bool:
        """Take what it tells; False when there will be nothing more."""
        data = os.read(self.status_fd, 65536)
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        for line in lines:
            told = json.loads(line)
            self.message = told.get("ready", self.message)
            self.leaves = self.leaves or "leaves" in told
        return bool(data)

    def ended(self) -> int | None:
        """The exit code, negative for a signal; None while it runs. Not after it was told."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None


class Forks:
    """Makes children. All of them end with this process."""

    def __init__(self) -> None:
        self._life_fd, self._life_end = os.pipe()
        # Ignored, the kernel would forget children by itself, and how they ended.
        signal.signal(signal.SIGCHLD, heed)

    def fork(self, work: Callable[[Link], int]) -> Child:
        """A child that runs ``work`` and exits with what it returns. Raises OSError."""
        _flush()  # else the child would write it a second time
        status_fd, status_end = os.pipe()
        # A signal must not find the child with its parent's handlers and wake-up pipe.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, OWN)
        try:
            pid = os.fork()
            if pid == 0:
                self._become_child(work, Link(status_end, self._life_fd), status_fd, before)
        except OSError:
            os.close(status_fd)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(status_end)
        return Child(pid, status_fd, time.monotonic())

    def _become_child(
        self,
        work: Callable[[Link], int],
        link: Link,
        status_fd: int,
        mask: set[int | signal.Signals],
    ) -> None:
        """Never returns: what the parent has on its stack is not the child's to unwind."""
        code = EXIT_FAILED
        try:
            os.setpgrp()
            os.close(self._life_end)
            os.close(status_fd)
            signal.set_wakeup_fd(-1)
            for number in (*OWN, RELOAD, HURRY):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # for whom it means nothing
            # Else a terminal that is set to (stty tostop) would stop it for a line in the log.
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_SETMASK, {*mask - OWN - {HURRY}, RELOAD})
            code = work(link)
        except BaseException:
            traceback.print_exc()
        finally:
            _flush()
            os._exit(code)


def heed(number: int, frame: object) -> None:
    """A handler for signals that are told by the wake-up pipe: without one there they would not be."""


def _flush() -> None:
    """What cannot be written (nobody reads it, the disk is full) is not worth a child."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
