"""Deadlines that move, and the watch over stalled clients, on a loop that counts its timers."""

import asyncio
from collections.abc import Callable

import pytest

from kiroproxy.http.clocks import Deadline, StallWatch


class ManualLoop:
    """The two calls the clocks make, with time in the test's hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[ManualTimer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> "ManualTimer":
        timer = ManualTimer(when, callback)
        self.timers.append(timer)
        return timer

    def call_later(self, delay: float, callback: Callable[[], None]) -> "ManualTimer":
        return self.call_at(self.now + delay, callback)

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [t for t in self.timers if t.armed and t.when() <= end]:
            timer = min(due, key=ManualTimer.when)
            self.now = timer.when()
            timer.armed = False
            timer.callback()
        self.now = end


class ManualTimer:
    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self._when = when
        self.callback = callback
        self.armed = True

    def when(self) -> float:
        return self._when

    def cancel(self) -> None:
        self.armed = False


def deadline() -> tuple[ManualLoop, Deadline, list[float]]:
    loop = ManualLoop()
    expired: list[float] = []
    made = Deadline(loop, lambda: expired.append(loop.now))  # type: ignore[arg-type]
    return loop, made, expired


def test_deadline_expires_once() -> None:
    loop, made, expired = deadline()
    made.expire_in(5)
    loop.advance(20)
    assert expired == [5]


def test_later_deadline_costs_no_timer() -> None:
    loop, made, expired = deadline()
    made.expire_in(5)
    loop.advance(3)
    made.expire_in(5)
    made.expire_in(6)
    assert len(loop.timers) == 1
    loop.advance(20)
    assert expired == [9]


def test_earlier_deadline_moves_the_timer() -> None:
    loop, made, expired = deadline()
    made.expire_in(100)
    made.expire_in(5)
    loop.advance(200)
    assert expired == [5]


def test_never_and_cancel() -> None:
    loop, made, expired = deadline()
    made.expire_in(5)
    made.never()
    loop.advance(10)
    assert not any(timer.armed for timer in loop.timers)
    made.expire_in(5)
    made.cancel()
    made.cancel()
    loop.advance(10)
    assert expired == []


def test_stall_watch_wants_progress_in_every_period() -> None:
    loop = ManualLoop()
    taken = [0]
    stalled: list[float] = []
    StallWatch(loop, 10, 0, lambda: taken[0], lambda: stalled.append(loop.now))  # type: ignore[arg-type]
    loop.advance(5)
    taken[0] = 1
    loop.advance(10)
    taken[0] = 2
    loop.advance(10)
    assert stalled == []
    loop.advance(10)
    assert stalled == [30]


@pytest.mark.parametrize(
    ("each_period", "cut_s"),
    [
        ([1, 1, 1], 20),  # any progress will do for the first period alone
        ([1, 49, 1, 99, 1], 30),  # the second has made its number, the third has not
        ([100, 1, 1, 1], 40),  # what came early counts
        ([0, 1000], 10),  # none is none
        ([0.5, 50, 50, 50, 50, 50], None),
    ],
)
def test_stall_watch_wants_a_pace_behind_its_first_period(
    each_period: list[float], cut_s: float | None
) -> None:
    loop = ManualLoop()
    taken = [7.0]  # of answers before
    stalled: list[float] = []
    StallWatch(loop, 10, 5, lambda: taken[0], lambda: stalled.append(loop.now))  # type: ignore
    for size in each_period:
        loop.advance(9)
        taken[0] += size
        loop.advance(1)
    assert stalled == ([] if cut_s is None else [cut_s])


@pytest.mark.parametrize(
    ("taken_a_pause", "between_s", "cut_s"),
    [
        (
            50,
            1,
            39,
        ),  # 20 s of waiting are free; at the second end it was 38 s, with a third of their due
        (96, 1, None),  # just enough
        (50, 10, None),  # it kept up for a period: what was before is forgotten
    ],
)
def test_stall_watch_remembers_when_the_client_falls_behind_again(
    taken_a_pause: int, between_s: float, cut_s: float | None
) -> None:
    """It catches up each time before it would be cut: 19 s behind, then not, and again."""
    loop = ManualLoop()
    taken = [0]
    stalled: list[float] = []
    watch = StallWatch(loop, 10, 20, lambda: taken[0], lambda: stalled.append(loop.now))  # type: ignore
    for _ in range(5):
        loop.advance(9)
        taken[0] += taken_a_pause
        loop.advance(10)
        watch.rest()
        if stalled:
            break
        loop.advance(between_s)
        watch.go_on()
    assert stalled == ([] if cut_s is None else [cut_s])


def test_resting_stall_watch_calls_nobody() -> None:
    loop = ManualLoop()
    stalled: list[bool] = []
    StallWatch(loop, 10, 0, lambda: 0, lambda: stalled.append(True)).rest()  # type: ignore[arg-type]
    loop.advance(100)
    assert stalled == []


def test_stall_watch_can_be_cancelled() -> None:
    loop = ManualLoop()
    stalled: list[bool] = []
    StallWatch(loop, 10, 0, lambda: 0, lambda: stalled.append(True)).cancel()  # type: ignore[arg-type]
    loop.advance(20)
    assert stalled == []


async def test_deadline_on_a_real_loop() -> None:
    came = asyncio.Event()
    Deadline(asyncio.get_running_loop(), came.set).expire_in(0.001)
    await came.wait()
