"""Requests that found every able account busy, in the order they came.

Room is not handed over but announced: whoever is woken looks again, and wakes the next one behind
when there is room that it could not use itself. So nobody overtakes, and nobody waits for room that
only somebody else could use.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager

from kiroproxy.clock import Clock


class WaitingRoom:
    """For one event loop. Tickets are numbers that grow; each is in here while its request waits."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._numbers = itertools.count()
        self._calls: dict[int, asyncio.Event] = {}

    def __len__(self) -> int:
        return len(self._calls)

    @contextmanager
    def ticket(self) -> Iterator[int]:
        """A place at the end of the line, until the block is left."""
        number = next(self._numbers)
        self._calls[number] = asyncio.Event()
        try:
            yield number
        finally:
            was_called = self._calls.pop(number).is_set()
            if was_called:  # it may leave without having used what it was called for
                self.wake(number)

    async def wait(self, number: int, seconds: float) -> None:
        """Until the ticket is called or the time is over."""
        call = self._calls[number]
        called = asyncio.ensure_future(call.wait())
        pause = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait((called, pause), return_when=asyncio.FIRST_COMPLETED)
        finally:
            called.cancel()
            pause.cancel()

    def clear(self, number: int) -> None:
        """The ticket's call was heard; from here on a new one counts."""
        self._calls[number].clear()

    def wake(self, behind: int = -1) -> None:
        """Call the first ticket behind the one with this number."""
        for number, call in self._calls.items():
            if number > behind and not call.is_set():
                call.set()
                return
