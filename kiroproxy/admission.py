"""How many answers this server works on at once, and for how long.

Whoever comes when all places are taken waits in line for a bounded time, and the line is bounded too:
its members hold their request bodies in memory. Then it is 529 with the seconds after which another
try may be worth it.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from kiroproxy.errors import Kind, RequestError, UpstreamTimeoutError

RETRY_S: Final = 5.0
_LEAST_LINE: Final = 16


class TimeLimit(NamedTuple):
    """How long a whole answer may take, with all its tries, and the setting that says so."""

    seconds: float
    setting: str


NO_LIMIT: Final = TimeLimit(math.inf, "")


class Admission:
    """For one event loop. ``places`` 0: no limit, and no line."""

    def __init__(self, places: int, wait_s: float, session_s: float) -> None:
        self.configure(places, wait_s, session_s)
        # A future is done when its place has been handed over; ``active`` counts it by then.
        self._line: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self.active = 0

    def configure(self, places: int, wait_s: float, session_s: float) -> None:
        """For those who come from now on; who waits in line or works keeps what it has."""
        self._places = places
        self._wait_s = wait_s
        self._session_s = session_s

    @property
    def waiting(self) -> int:
        """Requests in line."""
        return len(self._line)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """One of the places for as long as the block runs. Raises RequestError (OVERLOADED)."""
        if 0 < self._places <= self.active:
            await self._queue()
        else:
            self.active += 1
        try:
            yield
        finally:
            self._leave()

    @asynccontextmanager
    async def session(self, limit: TimeLimit = NO_LIMIT) -> AsyncIterator[None]:
        """The block, cut off after ``limit`` or the longest time any answer may take. Raises
        UpstreamTimeoutError."""
        least = min(limit, TimeLimit(self._session_s, "SESSION_TIMEOUT_MINUTES"))
        try:
            async with asyncio.timeout(least.seconds):
                yield
        except TimeoutError:
            raise UpstreamTimeoutError(
                f"The answer took longer than {least.seconds / 60:g} minutes ({least.setting}).",
                phase="session",
            ) from None

    async def _queue(self) -> None:
        if len(self._line) >= max(self._places, _LEAST_LINE):
            raise _busy()
        call = asyncio.get_running_loop().create_future()
        self._line[call] = None
        try:
            async with asyncio.timeout(self._wait_s):
                await call
        except BaseException as error:
            self._line.pop(call, None)
            if call.done() and not call.cancelled():
                self._leave()  # handed over in the very moment of giving up
            if isinstance(error, TimeoutError):
                raise _busy() from None
            raise

    def _leave(self) -> None:
        """Hand the place to the first in line, or give it back."""
        while self._line:
            call, _ = self._line.popitem(last=False)
            if not call.done():
                call.set_result(None)
                return
        self.active -= 1


def _busy() -> RequestError:
    return RequestError(
        "This server is working on as many requests as it may; try again in a few seconds.",
        kind=Kind.OVERLOADED,
        retry_after_s=RETRY_S,
        should_retry=True,
    )
