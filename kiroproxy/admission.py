"""How many answers this server works on at once, and for how long.

Whoever comes when all places are taken waits in line for a bounded time, and the line is bounded too:
its members hold their request bodies in memory. Then it is 529 with the seconds after which another
try may be worth it.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from types import TracebackType
from typing import Final

from kiroproxy.alarms import Alarms
from kiroproxy.errors import InternalError, Kind, RequestError, UpstreamTimeoutError

RETRY_S: Final = 5.0
_LEAST_LINE: Final = 16


class Admission:
    """For one event loop. ``places`` 0: no limit, and no line."""

    def __init__(self, places: int, wait_s: float, session_s: float) -> None:
        self.configure(places, wait_s, session_s)
        # A future is done when its place has been handed over; ``active`` counts it by then.
        self._line: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self._alarms: Alarms | None = None  # of the loop that runs by the first session
        self.active = 0

    def configure(self, places: int, wait_s: float, session_s: float) -> None:
        """For those who come from now on; who waits in line or works keeps what it has."""
        self.places = places
        self._wait_s = wait_s
        self._session_s = session_s

    @property
    def waiting(self) -> int:
        """Requests in line."""
        return len(self._line)

    @property
    def alarms(self) -> Alarms:
        """The deadlines of answers under way."""
        if self._alarms is None:
            self._alarms = Alarms(asyncio.get_running_loop())
        return self._alarms

    def session(self, seconds: float = math.inf, setting: str = "") -> _Session:
        """The block, cut off after ``seconds``, as ``setting`` says, or after the longest time any answer
        may take with all its tries. Raises UpstreamTimeoutError."""
        if self._session_s < seconds:
            seconds, setting = self._session_s, "SESSION_TIMEOUT_MINUTES"
        return _Session(seconds, setting, self.alarms)

    def take(self) -> bool:
        """A place, if one is free; else ``queue`` waits for one. ``leave`` gives either back. An
        asynchronous context manager would be shorter, and costs a request two coroutines."""
        if 0 < self.places <= self.active:
            return False
        self.active += 1
        return True

    async def queue(self) -> None:
        """Wait for a place. Raises RequestError (OVERLOADED); then there is nothing to give back."""
        if len(self._line) >= max(self.places, _LEAST_LINE):
            raise _busy()
        call = asyncio.get_running_loop().create_future()
        self._line[call] = None
        try:
            async with asyncio.timeout(self._wait_s):
                await call
        except BaseException as error:
            self._line.pop(call, None)
            if call.done() and not call.cancelled():
                self.leave()  # handed over in the very moment of giving up
            if isinstance(error, TimeoutError):
                raise _busy() from None
            raise

    def leave(self) -> None:
        """Hand the place to the first in line, or give it back."""
        while self._line:
            call, _ = self._line.popitem(last=False)
            if not call.done():
                call.set_result(None)
                return
        self.active -= 1


class _Session:
    """``asyncio.timeout`` with our own error, and without a timer of its own. Written out: a generator as
    context manager costs five times as much."""

    __slots__ = ("_alarms", "_cancelling", "_is_over", "_seconds", "_setting", "_task")

    def __init__(self, seconds: float, setting: str, alarms: Alarms) -> None:
        self._seconds = seconds
        self._setting = setting
        self._alarms = alarms
        self._is_over = False

    def __enter__(self) -> None:
        task = asyncio.current_task(self._alarms.loop)  # who asks without one asks the kernel
        if task is None:
            raise InternalError("a session outside of a task")
        self._task = task
        self._cancelling = task.cancelling()
        self._alarms.set(self, self._seconds)

    def ring(self) -> None:
        self._is_over = True
        self._task.cancel()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self._alarms.drop(self)
        if self._is_over and self._task.uncancel() <= self._cancelling:
            # Nobody else wants to end the task.
            if exc_type is asyncio.CancelledError:
                exc_type = TimeoutError
        if exc_type is not None and issubclass(exc_type, TimeoutError):
            raise UpstreamTimeoutError(
                f"The answer took longer than {self._seconds / 60:g} minutes ({self._setting}).",
                phase="session",
            ) from None


def _busy() -> RequestError:
    return RequestError(
        "This server is working on as many requests as it may; try again in a few seconds.",
        kind=Kind.OVERLOADED,
        retry_after_s=RETRY_S,
        should_retry=True,
    )
