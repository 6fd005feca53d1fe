"""One parent, several worker processes: started, watched, replaced, told to stop.

The parent serves nobody and has no event loop and no thread, so that it may fork at any time.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from kiroproxy.cli.forks import EXIT_FAILED, HURRY, OWN, RELOAD, Child, Forks, Link, heed
from kiroproxy.cli.pulses import Pulses, Watch

_log = logging.getLogger("kiroproxy.workers")

QUICK_S: Final = 10.0  # who lives shorter than that crashes again as likely as not
BACKOFF_S: Final = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Pause before a replacement, by quick deaths in a row."""
GIVE_UP_AFTER: Final = 6  # quick deaths of every worker in a row, with none alive
KILL_S: Final = 15.0  # beyond the drain time; then a child that does not end is killed
_HURRIED_KILL_S: Final = 10.0
_ESSENTIAL_S: Final = 5.0

EXIT_INTERRUPTED: Final = 130


@dataclass(frozen=True, slots=True)
class Job:
    """What a Supervisor needs to know of its workers. Each gets the worker's number.

    ``work`` runs in the child. ``prepare`` comes before each start and may raise OSError: then it is
    tried again later. ``left`` when one takes no more connections but has not ended. ``bereaved`` after an
    end or a start that failed, with whether the next try comes at once. ``announce`` once, with what each
    has told: when all are ready, save those that could not be started. ``reload`` at SIGHUP, before the
    workers are told. ``leave`` before they are told to stop.
    """

    work: Callable[[int, Link], int]
    prepare: Callable[[int], None]
    left: Callable[[int], None]
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
    is_paused: bool = False
    watch: Watch = field(default_factory=Watch)

    @property
    def is_new(self) -> bool:
        """Whether nobody was ever to come."""
        return self.child is None and self.due_s is None


@dataclass(slots=True)
class Supervisor:
    """``run`` once. ``essential``: a child that everything depends on, and that ends last. ``pulses``:
    the workers'; None if they may stand still for ever."""

    forks: Forks
    job: Job
    workers: int
    drain_s: float
    essential: Child | None = None
    pulses: Pulses | None = None
    backoff_s: Sequence[float] = BACKOFF_S
    _desks: list[_Desk] = field(default_factory=list)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _signals: int = 0
    _code: int = 0
    _is_stopping: bool = False
    _is_announced: bool = False
    _kill_at_s: float | None = None
    _look_at_s: float = 0.0

    def run(self) -> int:
        """Until all workers are down; the exit code."""
        self._desks = [_Desk() for _ in range(self.workers)]
        wakeup = self._listen_to_signals()
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
            self._look()
        # Python gives handlers up before the process ends, and without one it ends a process.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        self._end_essential()
        return EXIT_INTERRUPTED if self._signals > 1 and not self._code else self._code

    def _listen_to_signals(self) -> int:
        """The descriptor at which they are read, each a byte. A pipe, since it holds 65,536 of them; a pair
        of sockets loses the 279th of a storm."""
        wakeup, wakeup_end = os.pipe()
        for end in (wakeup, wakeup_end):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wakeup_end, warn_on_full_buffer=False)
        for number in OWN:
            signal.signal(number, heed)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, OWN)
        return wakeup

    def _is_alive(self) -> bool:
        return not self._is_stopping or self._others_live()

    def _wait_s(self) -> float | None:
        times = [] if self._is_stopping else [d.due_s for d in self._desks if d.due_s is not None]
        if self.pulses is not None and not self._is_stopping:
            times.append(self._look_at_s)
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
            desk.quick_deaths += 1
            when = self._put_off(index, desk)
            _log.error("worker %d cannot be started (%s); tried again %s", index, error, when)
            self._announce()
            return
        desk.child, desk.due_s = child, None
        work = lambda: self._told(index, child)  # noqa: E731 - what the selector keeps
        self._selector.register(child.status_fd, selectors.EVENT_READ, work)

    def _put_off(self, index: int, desk: _Desk) -> str:
        """When the next one comes, in words."""
        pause_s = self.backoff_s[min(max(0, desk.quick_deaths - 1), len(self.backoff_s) - 1)]
        desk.due_s, desk.is_paused = time.monotonic() + pause_s, pause_s > 0
        self.job.bereaved(index, not pause_s)
        return f"in {pause_s:g} s" if pause_s else "now"

    def _in_child(self, index: int, link: Link) -> int:
        """What is the parent's alone goes: its selector, its lines to the others."""
        self._selector.close()
        for desk in self._desks:
            if desk.child is not None:
                os.close(desk.child.status_fd)
        return self.job.work(index, link)

    def _told(self, index: int, child: Child) -> None:
        had_left = child.leaves
        if not child.read():
            self._selector.unregister(child.status_fd)
        if self._is_stopping:
            return
        if child.leaves and not had_left:
            self.job.left(index)
        if child.message is not None and not self._is_announced:
            for desk in self._desks:
                if desk.is_new:
                    desk.due_s = 0.0
            self._announce()

    def _announce(self) -> None:
        children = [desk.child for desk in self._desks if desk.child is not None]
        told = [child.message for child in children if child.message is not None]
        absent = sum(desk.child is None and desk.is_paused for desk in self._desks)
        if told and len(told) + absent == self.workers and not self._is_announced:
            self._is_announced = True
            self.job.announce(told)

    # -- signals and ends

    def _woken(self, wakeup: int) -> None:
        # Several SIGCHLD may have become one: everybody is looked at below.
        numbers = os.read(wakeup, 65536)
        if signal.SIGHUP in numbers:
            self.job.reload()
            self._tell_all(RELOAD)
        for number in numbers:
            if number in (signal.SIGTERM, signal.SIGINT):
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
            self._tell_all(HURRY)
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

    def _look(self) -> None:
        """Kill who stands still; its end is seen like any other. One look a round at most, however late it
        comes, and none at a worker that is not ready: a start may wait for a disk."""
        if self.pulses is None or self._is_stopping or time.monotonic() < self._look_at_s:
            return
        self._look_at_s = time.monotonic() + self.pulses.every_s
        for index, desk in enumerate(self._desks):
            if desk.child is None or desk.child.message is None:
                desk.watch = Watch()
            elif desk.watch.is_still(self.pulses.count(index)):
                self._end_still(index, desk, desk.child, self.pulses)

    def _end_still(self, index: int, desk: _Desk, child: Child, pulses: Pulses) -> None:
        """What holds up the log, a stopped terminal or a disk that hangs, may have held up the worker too:
        who has gone on since, or could not have, is watched anew."""
        _log.error(
            "worker %d (process %d) has stood still for %g s and is killed",
            index, child.pid, pulses.hang_s,
        )  # fmt: skip
        if pulses.count(index) == desk.watch.count and time.monotonic() < self._look_at_s:
            os.kill(child.pid, signal.SIGKILL)
        else:
            _log.info("worker %d is given another %g s", index, pulses.hang_s)

    def _reap(self) -> None:
        for index, desk in enumerate(self._desks):
            if desk.child is not None and (code := desk.child.ended()) is not None:
                self._bury(index, desk, desk.child, code)
        if self.essential is not None and self.essential.ended() is not None:
            self.essential = None
            _log.error("the process that the workers depend on has ended")
            self._stop(EXIT_FAILED)

    def _bury(self, index: int, desk: _Desk, child: Child, code: int) -> None:
        self._hear_out(child)
        desk.child = None
        if self._is_stopping:
            return
        if not self._is_announced and not self._others_live():
            # It has said why; the next one would say the same.
            if code > 0 and child.message is None:
                self._stop(code)
                return
        is_quick = time.monotonic() - child.started_s < QUICK_S
        desk.quick_deaths = desk.quick_deaths + 1 if is_quick else 0
        if is_quick and not self._others_live() and all(map(self._is_hopeless, self._desks)):
            _log.error("the workers end as soon as they are started; giving up")
            self._stop(EXIT_FAILED)
            return
        when = self._put_off(index, desk)
        _log.error(
            "worker %d (process %d) ended %s; a new one starts %s",
            index, child.pid, _in_words(code), when,
        )  # fmt: skip
        self._announce()

    def _hear_out(self, child: Child) -> None:
        """Its last words may be here together with the news of its end."""
        with contextlib.suppress(KeyError):  # it has closed its line already
            self._selector.unregister(child.status_fd)
            child.read()
        os.close(child.status_fd)

    def _is_hopeless(self, desk: _Desk) -> bool:
        return desk.quick_deaths >= GIVE_UP_AFTER or (desk.is_new and not desk.quick_deaths)

    def _others_live(self) -> bool:
        return any(desk.child is not None for desk in self._desks)

    def _end_essential(self) -> None:
        if self.essential is None:
            return
        os.kill(self.essential.pid, signal.SIGTERM)
        kill_at_s = time.monotonic() + _ESSENTIAL_S
        while self.essential.ended() is None:
            if time.monotonic() >= kill_at_s:
                os.kill(self.essential.pid, signal.SIGKILL)
            time.sleep(0.01)


def _in_words(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"
