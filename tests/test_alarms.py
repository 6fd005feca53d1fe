"""Many deadlines on one timer: each rings when it has come, once, and no other does."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from kiroproxy.alarms import Alarms


class Handle:
    cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """The two things of a loop that are asked for, with a clock that is turned by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.timers = 0
        self._heap: list[tuple[float, int, Handle, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now_s

    def call_at(self, at_s: float, call: Callable[[], None]) -> Handle:
        self.timers += 1
        handle = Handle()
        heapq.heappush(self._heap, (at_s, self.timers, handle, call))
        return handle

    def turn_to(self, at_s: float) -> None:
        while self._heap and self._heap[0][0] <= at_s:
            due_s, _, handle, call = heapq.heappop(self._heap)
            if not handle.cancelled:
                self.now_s = max(self.now_s, due_s)
                call()
        self.now_s = at_s


class Owner:
    def __init__(self, loop: Loop, then: Callable[[], None] = lambda: None) -> None:
        self.rang_at_s: list[float] = []
        self._loop = loop
        self._then = then

    def ring(self) -> None:
        self.rang_at_s.append(self._loop.now_s)
        self._then()


def made() -> tuple[Loop, Alarms]:
    loop = Loop()
    return loop, Alarms(cast(asyncio.AbstractEventLoop, cast(Any, loop)))


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 30), st.integers(0, 60))))
def test_each_rings_at_its_time_unless_it_is_dropped(plans: list[tuple[int, int, int]]) -> None:
    """Each plan: when the deadline is set, how far ahead, when it is dropped."""
    loop, alarms = made()
    owners = [Owner(loop) for _ in plans]
    for now_s in range(80):
        loop.turn_to(float(now_s))
        for owner, (begin_s, ahead_s, drop_s) in zip(owners, plans, strict=True):
            if drop_s == now_s and drop_s >= begin_s:
                alarms.drop(owner)
            if begin_s == now_s and drop_s != now_s:
                alarms.set(owner, ahead_s)
    for owner, (begin_s, ahead_s, drop_s) in zip(owners, plans, strict=True):
        due_s = begin_s + ahead_s
        if drop_s == begin_s:
            expected = []
        else:
            expected = [] if begin_s < drop_s < due_s else [float(due_s)]
        assert [round(at_s) for at_s in owner.rang_at_s] == expected, (begin_s, ahead_s, drop_s)


def test_a_thousand_requests_with_one_limit_take_one_timer() -> None:
    loop, alarms = made()
    for number in range(1_000):
        loop.turn_to(number / 100)
        owner = Owner(loop)
        alarms.set(owner, 60.0)
        alarms.drop(owner)
    assert loop.timers == 1


def test_a_deadline_can_be_moved_and_set_again_when_it_rings() -> None:
    loop, alarms = made()
    owner = Owner(loop, lambda: alarms.set(owner, 5.0) if len(owner.rang_at_s) < 3 else None)
    alarms.set(owner, 10.0)
    alarms.set(owner, 2.0)
    loop.turn_to(100.0)
    assert owner.rang_at_s == [2.0, 7.0, 12.0]


def test_one_that_rings_may_drop_another_and_never_is_never() -> None:
    loop, alarms = made()
    patient = Owner(loop)
    alarms.set(patient, math.inf)
    assert loop.timers == 0
    second = Owner(loop)
    first = Owner(loop, lambda: alarms.drop(second))
    alarms.set(first, 1.0)
    alarms.set(second, 1.0)
    loop.turn_to(1e9)
    assert (len(first.rang_at_s), second.rang_at_s, patient.rang_at_s) == (1, [], [])


async def test_on_a_real_loop() -> None:
    loop = asyncio.get_running_loop()
    alarms = Alarms(loop)
    rang = loop.create_future()

    class Once:
        def ring(self) -> None:
            rang.set_result(loop.time())

    began_s = loop.time()
    alarms.set(Once(), 0.02)
    async with asyncio.timeout(10):
        assert await rang - began_s >= 0.018
