"""Places and the line for them: nobody is lost, nobody overtakes, no place leaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiroproxy.admission import RETRY_S, Admission
from kiroproxy.errors import Kind, RequestError, UpstreamTimeoutError

LONG_S = 50.0


@asynccontextmanager
async def place(admission: Admission) -> AsyncIterator[None]:
    """As a handler has it."""
    if not admission.take():
        await admission.queue()
    try:
        yield
    finally:
        admission.leave()


class Guests:
    """Requests that hold their place until they are told to go."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.order: list[int] = []
        self._doors: dict[int, asyncio.Event] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}

    async def come(self, number: int) -> None:
        self._doors[number] = asyncio.Event()
        self.tasks[number] = asyncio.create_task(self._stay(number))
        await turns()

    async def _stay(self, number: int) -> None:
        async with place(self.admission):
            self.order.append(number)
            await self._doors[number].wait()

    async def go(self, number: int) -> None:
        self._doors[number].set()
        await turns()

    async def cancel(self, number: int) -> None:
        self.tasks[number].cancel()
        await turns()


async def turns() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


@asynccontextmanager
async def guests(places: int, wait_s: float = LONG_S) -> AsyncIterator[Guests]:
    made = Guests(Admission(places, wait_s, LONG_S))
    yield made
    for task in made.tasks.values():
        task.cancel()
    await asyncio.gather(*made.tasks.values(), return_exceptions=True)
    assert (made.admission.active, made.admission.waiting) == (0, 0)


async def test_line_is_served_in_order() -> None:
    async with guests(2) as g:
        for number in range(5):
            await g.come(number)
        assert (g.order, g.admission.active, g.admission.waiting) == ([0, 1], 2, 3)
        for number in (1, 0, 2):
            await g.go(number)
        assert (g.order, g.admission.active, g.admission.waiting) == ([0, 1, 2, 3, 4], 2, 0)


async def test_who_leaves_the_line_is_not_waited_for() -> None:
    async with guests(1) as g:
        for number in range(4):
            await g.come(number)
        await g.cancel(1)
        await g.go(0)
        assert (g.order, g.admission.waiting) == ([0, 2], 1)


async def test_place_handed_to_somebody_cancelled_goes_on() -> None:
    async with guests(1) as g:
        for number in range(3):
            await g.come(number)
        g.tasks[0].cancel()
        await asyncio.sleep(0)  # its place is handed to 1, who has not run yet
        g.tasks[1].cancel()
        await turns()
        assert (g.order, g.admission.active) == ([0, 2], 1)


async def test_waiting_is_bounded() -> None:
    async with guests(1, wait_s=0.01) as g:
        await g.come(0)
        with pytest.raises(RequestError) as caught:
            async with place(g.admission):
                pass
        error = caught.value
        assert (error.kind, error.retry_after_s, error.should_retry) == (
            Kind.OVERLOADED,
            RETRY_S,
            True,
        )


async def test_line_is_bounded() -> None:
    async with guests(1) as g:
        for number in range(17):
            await g.come(number)
        assert g.admission.waiting == 16
        with pytest.raises(RequestError, match="as many requests as it may"):
            async with place(g.admission):
                pass


async def test_no_limit() -> None:
    async with guests(0) as g:
        for number in range(50):
            await g.come(number)
        assert g.admission.active == 50


async def test_session_is_cut_off() -> None:
    admission = Admission(1, LONG_S, 0.01)
    with pytest.raises(UpstreamTimeoutError, match="SESSION_TIMEOUT_MINUTES"):
        async with place(admission):
            with admission.session():
                await asyncio.Event().wait()
    assert admission.active == 0
    await asyncio.sleep(0)  # the task is not cancelled any more


async def test_who_cancels_a_session_sees_it_cancelled() -> None:
    admission = Admission(1, LONG_S, LONG_S)

    async def answer() -> None:
        with admission.session():
            await asyncio.Event().wait()

    task = asyncio.create_task(answer())
    await turns()
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_an_error_inside_a_session_stays_what_it_is() -> None:
    admission = Admission(1, LONG_S, LONG_S)
    with pytest.raises(RequestError, match="too long"), admission.session():
        raise RequestError("too long")


STEPS = st.lists(st.tuples(st.sampled_from(["come", "go", "cancel"]), st.integers(0, 9)))


@settings(max_examples=100)
@given(STEPS, st.integers(1, 3))
def test_no_place_is_lost_or_made(steps: list[tuple[str, int]], places: int) -> None:
    async def play() -> None:
        async with guests(places) as g:
            for verb, number in steps:
                if (verb == "come") != (number in g.tasks):
                    await getattr(g, verb)(number)
                    inside = [n for n in g.order if not g.tasks[n].done()]
                    assert g.admission.active == len(inside) <= places
                    assert not g.admission.waiting or len(inside) == places

    asyncio.run(play())
