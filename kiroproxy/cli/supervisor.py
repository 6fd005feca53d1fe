"""One parent, several worker processes: started, watched, replaced, told to stop.

The parent serves nobody and has no event loop and no thread, so that it may fork at any time. A child is
in a process group of its own: Ctrl-C reaches the parent alone, which passes it on.

Two pipes lead to a child. It writes one line of JSON to the first when it is ready. Nobody ever writes
to the second: it ends when the parent does, however that happens, and then the child stops too.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

_log = logging.getLogger("kiroproxy.workers")

QUICK_S: Final = 10.0  # who lives shorter than that crashes again as likely as not
BACKOFF_S: Final = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Pause before a replacement, by quick deaths in a row."""
GIVE_UP_AFTER: Final = 6  # quick deaths of every worker in a row, with none alive
KILL_S: Final = 15.0  # beyond the drain time; then a child that does not end is killed
_HURRIED_KILL_S: Final = 10.0

EXIT_FAILED, EXIT_INTERRUPTED = 1, 130
_HANDLED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
RELOAD: Final = signal.SIGUSR1
"""How a child is told to read its settings again: SIGHUP is for the parent, so that no child does it alone.
Blocked in a child until it listens to it, so that it is not lost on one that has just been started."""


@dataclass(frozen=True, slots=True)
class Link:
    """A child's line to its parent. ``life_fd`` becomes readable when the parent is gone."""

    status_fd: int
    life_fd: int

    def tell(self, message: dict[str, Any]) -> None:
        """Say that this process is ready, and what the parent should know. Once."""
        with contextlib.suppress(OSError):  # the parent is gone: ``life_fd`` says so
            os.write(self.status_fd, json.dumps(message).encode() + b"\n")


@dataclass(slots=True, eq=False)
class Child:
    """As the parent knows it. ``message``: what it told when it got ready."""

    pid: int
    status_fd: int
    started_s: float
    buffer: bytes = b""
    message: dict[str, Any] | None = None

    def read(self) -> bool:
        """Take what it tells; False when there will be nothing more."""
        data = os.read(self.status_fd, 65536)
        self.buffer += data
        if self.message is None and b"\n" in self.buffer:
            self.message = json.loads(self.buffer.split(b"\n")[0])
        return bool(data)


class Forks:
    """Makes children. All of them end with this process."""

    def __init__(self) -> None:
        self._life_fd, self._life_end = os.pipe()

    def fork(self, work: Callable[[Link], int]) -> Child:
        """A child that runs ``work`` and exits with what it returns. Raises OSError."""
        status_fd, status_end = os.pipe()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        # A signal must not find the child with its parent's handlers and wake-up pipe.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [*_HANDLED, signal.SIGCHLD])
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
            for number in (*_HANDLED, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # for whom it means nothing
            signal.pthread_sigmask(signal.SIG_SETMASK, {*mask, RELOAD})
            code = work(link)
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
            os._exit(code)


@dataclass(frozen=True, slots=True)
class Job:
    """What a Supervisor needs to know of its workers. Each gets the worker's number.

    ``work`` runs in the child. ``prepare`` comes before each start and may raise OSError: then it is
    tried again later. ``bereaved`` after an end, with whether a replacement comes at once. ``announce``
    when all are ready for the first time, with what each has told. ``reload`` at SIGHUP, before the workers
    are told. ``leave`` before they are told to stop.
    """

    work: Callable[[int, Link], int]
    prepare: Callable[[int], None]
    bereaved: Callable[[int, bool], None]
    announce: Callable[[list[dict[str, Any]]], None]
    reload: Callable[[], None]
    leave: Callable[[], None]


@dataclass(slots=True)
class _Desk:
    """One worker's place: who is there, or when the next one comes."""

    child: Child | None = None
    due_s: float | None = None
    quick_deaths: int = 0


@dataclass(slots=True)
class Supervisor:
    """``run`` once. ``essential``: a child that everything depends on, and that ends last."""

    forks: Forks
    job: Job
    workers: int
    drain_s: float
    essential: Child | None = None
    _desks: list[_Desk] = field(default_factory=list)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _signals: int = 0
    _code: int = 0
    _is_stopping: bool = False
    _is_announced: bool = False
    _kill_at_s: float | None = None

    def run(self) -> int:
        """Until all workers are down; the exit code."""
        self._desks = [_Desk() for _ in range(self.workers)]
        wakeup, wakeup_end = socket.socketpair()
        for end in (wakeup, wakeup_end):
            end.setblocking(False)
        signal.set_wakeup_fd(wakeup_end.fileno(), warn_on_full_buffer=False)
        for number in (*_HANDLED, signal.SIGCHLD):
            signal.signal(number, _ignore)
        self._selector.register(wakeup, selectors.EVENT_READ, lambda: self._woken(wakeup))
        # The first one alone: it makes what all share, and a wrong setting is told once.
        self._desks[0].due_s = 0.0
        while self._is_alive():
            self._start_due()
            for key, _ in self._selector.select(self._wait_s()):
                # One event may close what a later one of the same round is about.
                if self._selector.get_map().get(key.fd) is key:
                    key.data()
            self._kill_late()
        self._end_essential()
        return EXIT_INTERRUPTED if self._signals > 1 and not self._code else self._code

    def _is_alive(self) -> bool:
        if any(desk.child for desk in self._desks):
            return True
        return not self._is_stopping

    def _wait_s(self) -> float | None:
        times = [] if self._is_stopping else [d.due_s for d in self._desks if d.due_s is not None]
        if self._kill_at_s is not None:
            times.append(self._kill_at_s)
        return max(0.0, min(times) - time.monotonic()) if times else None

    # -- starting

    def _start_due(self) -> None:
        for index, desk in enumerate(self._desks):
            is_due = desk.due_s is not None and desk.due_s <= time.monotonic()
            if is_due and not self._is_stopping:
                self._start(index, desk)

    def _start(self, index: int, desk: _Desk) -> None:
        try:
            self.job.prepare(index)
            child = self.forks.fork(lambda link: self._in_child(index, link))
        except OSError as error:
            _log.error("worker %d cannot be started (%s); tried again later", index, error)
            desk.quick_deaths += 1
            desk.due_s = time.monotonic() + _pause_s(desk.quick_deaths)
            return
        desk.child, desk.due_s = child, None
        self._selector.register(child.status_fd, selectors.EVENT_READ, lambda: self._told(child))

    def _in_child(self, index: int, link: Link) -> int:
        self._selector.close()
        return self.job.work(index, link)

    def _told(self, child: Child) -> None:
        if not child.read():
            self._selector.unregister(child.status_fd)
        if child.message is None or self._is_announced or self._is_stopping:
            return
        for desk in self._desks:
            if desk.child is None and desk.due_s is None:
                desk.due_s = 0.0
        told = [desk.child.message for desk in self._desks if desk.child and desk.child.message]
        if len(told) == self.workers:
            self._is_announced = True
            self.job.announce(told)

    # -- signals and ends

    def _woken(self, wakeup: socket.socket) -> None:
        for number in wakeup.recv(4096):
            if number == signal.SIGCHLD:
                continue  # several may have become one: everybody is looked at below
            if number == signal.SIGHUP:
                self.job.reload()
                self._tell_all(RELOAD)
            else:
                self._signals += 1
                self._stop()
        self._reap()

    def _stop(self, code: int = 0) -> None:
        """The first time: finish what runs. The second: do not wait for it."""
        self._code = self._code or code
        if not self._is_stopping:
            self._is_stopping = True
            self.job.leave()
            self._tell_all(signal.SIGTERM)
            self._kill_at_s = time.monotonic() + self.drain_s + KILL_S
        elif self._signals > 1:
            # Not SIGTERM again: a child that has not seen the first one yet would see only one.
            self._tell_all(signal.SIGINT)
            self._kill_at_s = time.monotonic() + _HURRIED_KILL_S

    def _tell_all(self, number: signal.Signals) -> None:
        for desk in self._desks:
            if desk.child is not None:
                os.kill(desk.child.pid, number)  # not reaped yet, so the number is still its own

    def _kill_late(self) -> None:
        if self._kill_at_s is not None and time.monotonic() >= self._kill_at_s:
            self._kill_at_s = None
            _log.error("workers that do not end are killed")
            self._tell_all(signal.SIGKILL)

    def _reap(self) -> None:
        for index, desk in enumerate(self._desks):
            if desk.child is not None and (code := _ended(desk.child)) is not None:
                self._bury(index, desk, desk.child, code)
        if self.essential is not None and _ended(self.essential) is not None:
            self.essential = None
            _log.error("the process that the workers depend on has ended")
            self._stop(EXIT_FAILED)

    def _bury(self, index: int, desk: _Desk, child: Child, code: int) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(child.status_fd)
        os.close(child.status_fd)
        desk.child = None
        if self._is_stopping:
            return
        if not self._is_announced and not self._others_live():
            if (
                code > 0 and child.message is None
            ):  # it has said why; the next one would say the same
                self._stop(code)
                return
        is_quick = time.monotonic() - child.started_s < QUICK_S
        desk.quick_deaths = desk.quick_deaths + 1 if is_quick else 0
        if not self._others_live() and all(d.quick_deaths >= GIVE_UP_AFTER for d in self._desks):
            _log.error("the workers end as soon as they are started; giving up")
            self._stop(EXIT_FAILED)
            return
        pause_s = _pause_s(desk.quick_deaths)
        desk.due_s = time.monotonic() + pause_s
        when = f"in {pause_s:g} s" if pause_s else "now"
        _log.error(
            "worker %d (process %d) ended %s; a new one starts %s",
            index, child.pid, _in_words(code), when,
        )  # fmt: skip
        self.job.bereaved(index, not pause_s)

    def _others_live(self) -> bool:
        return any(desk.child is not None for desk in self._desks)

    def _end_essential(self) -> None:
        if self.essential is not None:
            os.kill(self.essential.pid, signal.SIGTERM)
            os.waitpid(self.essential.pid, 0)


def _ignore(number: int, frame: object) -> None:
    """The signal comes through the wake-up pipe; a handler is needed all the same."""


def _pause_s(quick_deaths: int) -> float:
    return BACKOFF_S[min(max(0, quick_deaths - 1), len(BACKOFF_S) - 1)]


def _ended(child: Child) -> int | None:
    """The exit code, negative for a signal; None while it runs."""
    pid, status = os.waitpid(child.pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if pid else None


def _in_words(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"
