"""One parent and its children, without a server: in a process of its own, which may have any handlers."""

from __future__ import annotations

import errno
import logging
import os
import pty
import signal
import sys
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from kiroproxy.cli.forks import EXIT_FAILED, Child, Forks, Link
from kiroproxy.cli.pulses import LOOKS, Pulses, Watch
from kiroproxy.cli.supervisor import Job, Supervisor

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="children by fork")

NO_PAUSES = (0.0, 0.001)
BROKE = 99


def in_process(scene: Callable[[], object]) -> None:
    """Run ``scene`` in a child; it fails as it would here."""
    said, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(said)
        signal.alarm(60)  # its children end with it
        try:
            scene()
        except BaseException as error:
            os.write(tell, f"{type(error).__name__}: {error}".encode()[:4000])
        finally:
            os._exit(0)
    os.close(tell)
    found = b""
    while data := os.read(said, 4096):
        found += data
    os.waitpid(pid, 0)
    assert found == b"", found.decode()


def serve(link: Link) -> int:
    """Be a worker that is ready and stays until it is told to end, or its parent is gone."""
    link.ready({})
    os.read(link.life_fd, 1)
    return 0


def die(number: signal.Signals = signal.SIGKILL) -> int:
    os.kill(os.getpid(), number)
    return 0


@dataclass
class Story:
    """A supervised job that writes down what it was told. ``act``: what a worker does, by its number and
    how many of that number there were before; ``announced``: what the parent does then."""

    act: Callable[[int, int, Link], int]
    workers: int = 1
    forks: Forks = field(default_factory=Forks)
    pulses: Pulses | None = None
    announced: Callable[[], object] = lambda: None
    bereaved: list[tuple[int, bool]] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    told: list[list[Any]] = field(default_factory=list)
    reloads: int = 0
    starts: dict[int, int] = field(default_factory=dict)

    def run(self) -> int:
        job = Job(
            work=lambda index, link: self.act(index, self.starts[index] - 1, link),
            prepare=self._prepare,
            left=self.left.append,
            bereaved=lambda index, at_once: self.bereaved.append((index, at_once)),
            announce=self._announce,
            reload=self._reload,
            leave=lambda: None,
        )
        return Supervisor(
            self.forks, job, self.workers, 5.0, pulses=self.pulses, backoff_s=NO_PAUSES
        ).run()

    def _prepare(self, index: int) -> None:
        self.starts[index] = self.starts.get(index, 0) + 1

    def _announce(self, told: list[Any]) -> None:
        self.told.append(told)
        self.announced()

    def _reload(self) -> None:
        self.reloads += 1


def stop_parent() -> None:
    os.kill(os.getppid(), signal.SIGTERM)


def stop_self() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


class Refusing(Forks):
    """A full process table, for the forks of these numbers."""

    def __init__(self, refused: range) -> None:
        super().__init__()
        self._refused = refused
        self._count = 0

    def fork(self, work: Callable[[Link], int]) -> Child:
        self._count += 1
        if self._count - 1 in self._refused:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return super().fork(work)


class Late(Forks):
    """A parent that comes to look only when the child has ended."""

    def fork(self, work: Callable[[Link], int]) -> Child:
        child = super().fork(work)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        return child


def test_a_replacement_that_cannot_be_started_is_told_like_an_end() -> None:
    """So that nobody waits on a socket that is kept for it."""

    def act(index: int, before: int, link: Link) -> int:
        if before == 0:
            link.ready({})
            return die()
        stop_parent()
        return serve(link)

    def scene() -> None:
        story = Story(act, forks=Refusing(range(1, 4)))
        assert story.run() == 0
        assert story.bereaved == [(0, True), (0, False), (0, False), (0, False)]

    in_process(scene)


def test_those_that_can_be_started_are_announced() -> None:
    def scene() -> None:
        story = Story(
            lambda index, before, link: serve(link),
            workers=3,
            forks=Refusing(range(2, 1000)),
            announced=stop_self,
        )
        assert story.run() == 0
        assert story.told == [[{}, {}]]

    in_process(scene)


def test_a_first_worker_that_is_always_killed_ends_the_parent() -> None:
    """The others were never started: they are no reason to go on."""

    def scene() -> None:
        story = Story(lambda index, before, link: die(), workers=4)
        assert story.run() == EXIT_FAILED
        assert list(story.starts) == [0]

    in_process(scene)


def test_what_was_told_before_the_end_counts() -> None:
    """A worker that was ready and then failed is replaced; one that never was has a wrong setting."""

    def act(index: int, before: int, link: Link) -> int:
        link.ready({})
        if before:
            stop_parent()
        return 7

    def scene() -> None:
        story = Story(act, forks=Late())
        assert story.run() == 0
        assert story.starts == {0: 2}

    in_process(scene)


def test_a_wrong_setting_is_told_once() -> None:
    def scene() -> None:
        story = Story(lambda index, before, link: 7, workers=2)
        assert story.run() == 7
        assert story.starts == {0: 1}

    in_process(scene)


def test_one_that_leaves_is_told_before_it_ends() -> None:
    def act(index: int, before: int, link: Link) -> int:
        link.leaves()
        return serve(link)

    def scene() -> None:
        story = Story(act, announced=stop_self)
        assert story.run() == 0
        assert story.left == [0]

    in_process(scene)


def test_more_than_a_pipe_holds_is_told_whole() -> None:
    def scene() -> None:
        words = ["word" * 100] * 2000

        def act(index: int, before: int, link: Link) -> int:
            link.ready({"words": words})
            os.read(link.life_fd, 1)
            return 0

        story = Story(act, announced=stop_self)
        assert story.run() == 0
        assert story.told == [[{"words": words}]]

    in_process(scene)


@pytest.mark.parametrize("is_ignored", [False, True])
def test_signals_blocked_or_ignored_by_whoever_started_it(is_ignored: bool) -> None:
    def act(index: int, before: int, link: Link) -> int:
        if before == 0:
            return die()
        if before == 1:
            return die(signal.SIGTERM)
        stop_parent()
        return serve(link)

    def scene() -> None:
        numbers = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
        if is_ignored:
            for number in numbers:
                signal.signal(number, signal.SIG_IGN)
        else:
            signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        story = Story(act)
        assert story.run() == 0
        assert story.starts == {0: 3}

    in_process(scene)


def test_a_storm_of_reloads_is_one_and_does_not_drown_the_stop() -> None:
    def storm() -> None:
        for _ in range(5000):
            os.kill(os.getpid(), signal.SIGHUP)
        stop_self()

    def act(index: int, before: int, link: Link) -> int:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        return serve(link)

    def scene() -> None:
        story = Story(act, announced=storm)
        assert story.run() == 0
        assert story.reloads == 1

    in_process(scene)


def test_output_that_nobody_reads_costs_no_child() -> None:
    def act(index: int, before: int, link: Link) -> int:
        if before == 0:
            return die()
        stop_parent()
        return serve(link)

    def scene() -> None:
        reader, writer = os.pipe()
        os.close(reader)
        sys.stdout = os.fdopen(writer, "w")
        sys.stdout.write("not flushed")
        story = Story(act)
        assert story.run() == 0
        assert story.starts == {0: 2}
        assert story.bereaved == [(0, True)]

    in_process(scene)


def test_replacements_leave_no_descriptor_and_no_zombie() -> None:
    def act(index: int, before: int, link: Link) -> int:
        link.ready({})
        if index == 0 and before == 200:
            stop_parent()
        return serve(link) if index else die()

    def scene() -> None:
        story = Story(act, workers=2, forks=Forks())
        first = len(os.listdir("/dev/fd"))
        assert story.run() == 0
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
        # Of the parent itself: its selector and the wake-up pipe.
        assert len(os.listdir("/dev/fd")) <= first + 3

    in_process(scene)


def test_children_hold_nothing_of_each_other() -> None:
    """As many descriptors in the last one as in the first."""

    def act(index: int, before: int, link: Link) -> int:
        link.ready({"open": len(os.listdir("/dev/fd"))})
        os.read(link.life_fd, 1)
        return 0

    def scene() -> None:
        story = Story(act, workers=6, announced=stop_self)
        assert story.run() == 0
        assert len({told["open"] for told in story.told[0]}) == 1

    in_process(scene)


def test_a_terminal_that_stops_background_output_stops_no_worker() -> None:
    """``stty tostop``: a worker is in a process group of its own, so in the background."""
    pid, terminal = pty.fork()
    if pid == 0:
        code = BROKE
        signal.alarm(60)
        try:
            modes = termios.tcgetattr(0)
            modes[3] |= termios.TOSTOP
            termios.tcsetattr(0, termios.TCSANOW, modes)

            def act(index: int, before: int, link: Link) -> int:
                os.write(2, b"a line of the log\n")
                return serve(link)

            code = Story(act, announced=stop_self).run()
        finally:
            os._exit(code)
    try:
        while os.read(terminal, 4096):
            pass
    except OSError:  # how a terminal ends on Linux
        pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_looks_in_a_row_that_find_no_beat_are_counted() -> None:
    watch = Watch()
    assert not any(watch.is_still(count) for count in [7] * LOOKS)
    assert not watch.is_still(8)
    assert [watch.is_still(8) for _ in range(LOOKS)] == [False] * (LOOKS - 1) + [True]
    assert [watch.is_still(8) for _ in range(LOOKS)] == [False] * (LOOKS - 1) + [True]


def test_a_count_goes_on_for_ever() -> None:
    pulses = Pulses(2, 1.0)
    seen = set()
    for _ in range(300):
        pulses.beat(1)
        seen.add(pulses.count(1))
    assert (len(seen), pulses.count(0)) == (256, 0)


def beat_for(pulses: Pulses, index: int, beats: int) -> None:
    for _ in range(beats):
        pulses.beat(index)
        time.sleep(pulses.every_s / 2)


def test_a_worker_that_stands_still_is_replaced() -> None:
    """Also one that stood still in its first moment, and none that is not ready yet."""
    pulses = Pulses(1, 0.6)

    def act(index: int, before: int, link: Link) -> int:
        if before == 2:
            beat_for(pulses, index, 4 * LOOKS)  # as long as two others together
        link.ready({})
        if before == 2:
            stop_parent()
            return serve(link)
        if before == 1:
            beat_for(pulses, index, 3)
        return die(signal.SIGSTOP)

    def scene() -> None:
        story = Story(act, pulses=pulses)
        assert story.run() == 0
        assert story.starts == {0: 3}
        assert len(story.bereaved) == 2

    in_process(scene)


def left_alone(act: Callable[[int, int, Link], int], pulses: Pulses) -> None:
    """One worker that does ``act`` is started once, and ends as it should."""

    def scene() -> None:
        story = Story(act, pulses=pulses)
        assert story.run() == 0
        assert story.starts == {0: 1}

    in_process(scene)


def test_a_worker_whose_loop_turns_is_left_alone() -> None:
    pulses = Pulses(1, 1.2)

    def act(index: int, before: int, link: Link) -> int:
        link.ready({})
        beat_for(pulses, index, 4 * LOOKS)
        stop_parent()
        return serve(link)

    left_alone(act, pulses)


class HeldUp(logging.Handler):
    """A log that takes nothing until the worker goes on, which waits for that."""

    def __init__(self, pulses: Pulses, held_up: Pulses) -> None:
        super().__init__()
        self._pulses = pulses
        self._held_up = held_up

    def emit(self, record: logging.LogRecord) -> None:
        count = self._pulses.count(0)
        if "stood still" in record.getMessage() and self._held_up.count(0) == 0:
            self._held_up.beat(0)
            while self._pulses.count(0) == count:
                time.sleep(0.001)


def test_a_worker_held_up_with_the_log_is_left_alone() -> None:
    pulses, held_up = Pulses(1, 0.6), Pulses(1, 1.0)

    def act(index: int, before: int, link: Link) -> int:
        link.ready({})
        beat_for(pulses, index, 3)
        while held_up.count(0) == 0:
            time.sleep(0.001)
        beat_for(pulses, index, 2 * LOOKS)
        stop_parent()
        return serve(link)

    def scene() -> None:
        logging.getLogger("kiroproxy.workers").addHandler(HeldUp(pulses, held_up))
        story = Story(act, pulses=pulses)
        assert story.run() == 0
        assert story.starts == {0: 1}
        assert held_up.count(0) == 1

    in_process(scene)


def test_a_pause_of_all_processes_together_kills_nobody() -> None:
    """As when the machine slept: the parent's clock has run on, and it may be the first to wake."""
    pulses = Pulses(1, 1.2)

    def pause(parent: int, worker: int) -> None:
        os.kill(worker, signal.SIGSTOP)
        os.kill(parent, signal.SIGSTOP)
        time.sleep(2 * pulses.hang_s)
        os.kill(parent, signal.SIGCONT)
        time.sleep(pulses.every_s)
        os.kill(worker, signal.SIGCONT)

    def act(index: int, before: int, link: Link) -> int:
        link.ready({})
        parent, worker = os.getppid(), os.getpid()
        if os.fork() == 0:
            pause(parent, worker)
            os._exit(0)
        beat_for(pulses, index, 2 * LOOKS)
        stop_parent()
        return serve(link)

    left_alone(act, pulses)
