"""Whether work given to ``asyncio.to_thread`` is still running, and a system that starts no threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


async def threads_idle() -> None:
    """Until no thread of this loop works. The pool tells that nowhere, so its own books are read."""
    executor = getattr(asyncio.get_running_loop(), "_default_executor", None)
    if executor is None:
        return
    assert isinstance(executor, ThreadPoolExecutor)
    idle = executor._idle_semaphore  # counts the threads that wait for work
    while executor._work_queue.qsize() or idle._value < len(executor._threads):
        await asyncio.sleep(0.0005)
    await asyncio.sleep(0)  # what has just ended is told to the loop


@contextmanager
def no_threads() -> Iterator[None]:
    """None can be started in this process: each would want a stack larger than any memory."""
    before = threading.stack_size(1 << 46)
    try:
        yield
    finally:
        threading.stack_size(before)
