"""One file's lock, for all of this process that need it at the same time.

Many sign-ins may stand in one file, and all of them may have to be renewed at once. The file's lock keeps
other processes away; the tasks of this one share it, a few at a time and in the order in which they came,
instead of fighting for it one by one. From time to time it is given up, so that others get it too. It keeps
nobody of this process away: two that work on the same sign-in need a lock of its own (store.py).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

from kiroproxy.accounts.files import FileLock
from kiroproxy.clock import Clock
from kiroproxy.errors import UpstreamError

_T = TypeVar("_T")

LOCK_WAIT_S: Final = 60.0  # longer than a renewal by another process may take
AT_ONCE: Final = 4  # renewals of sign-ins of one file
HOLD_S: Final = 5.0  # who comes later than that after the lock was taken waits until it was free
_POLL_S: Final = 0.1
_FREE_S: Final = 2 * _POLL_S  # long enough for others that poll to see it


class SharedLock:
    """``target``: the file that is locked. For one event loop."""

    def __init__(self, target: Path, clock: Clock) -> None:
        self._target = target
        self._clock = clock
        self._room = asyncio.Semaphore(AT_ONCE)
        self._door = asyncio.Lock()  # who waits at it finds the lock taken, or given up on
        self._is_free = asyncio.Event()
        self._is_free.set()
        self._lock = FileLock(target)
        self._members = 0
        self._taken_at_s = 0.0
        self._gave_up_at_s = -math.inf

    @asynccontextmanager
    async def held(self, label: str) -> AsyncIterator[None]:
        """``label``: for whom. Raises UpstreamError when another process does not let go of it, and OSError
        when no lock can be made."""
        came_at_s = self._clock.monotonic()
        async with self._room:
            async with self._door:
                await self._enter(label, came_at_s)
            try:
                yield
            finally:
                self._leave()

    async def _enter(self, label: str, came_at_s: float) -> None:
        if self._members and self._clock.monotonic() - self._taken_at_s >= HOLD_S:
            await self._is_free.wait()
            await self._clock.sleep(_FREE_S)
        if not self._members:
            await self._take(label, came_at_s)
        self._members += 1

    async def _take(self, label: str, came_at_s: float) -> None:
        lock = FileLock(self._target)
        give_up_at_s = self._clock.monotonic() + LOCK_WAIT_S
        try:
            while not await in_thread(lock.try_acquire):
                now_s = self._clock.monotonic()
                # Those who came while one waited in vain have waited as well.
                if now_s >= give_up_at_s or self._gave_up_at_s > came_at_s:
                    self._gave_up_at_s = now_s
                    raise UpstreamError(
                        f"{label}: another process holds this sign-in's lock; try again later"
                    )
                await self._clock.sleep(_POLL_S)
        except BaseException:
            lock.release()
            raise
        self._lock, self._taken_at_s = lock, self._clock.monotonic()
        self._is_free.clear()

    def _leave(self) -> None:
        self._members -= 1
        if not self._members:
            self._is_free.set()
            self._lock.release()


async def in_thread(work: Callable[[], _T]) -> _T:
    return await asyncio.to_thread(work)
