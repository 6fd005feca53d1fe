"""Whether work given to ``asyncio.to_thread`` is still running."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor


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
