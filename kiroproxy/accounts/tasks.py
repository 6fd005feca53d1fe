"""Background work with an owner: nothing is forgotten, nothing outlives ``stop``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

_log = logging.getLogger("kiroproxy.accounts")
_T = TypeVar("_T")


class Tasks:
    """``spawn`` starts work; ``stop`` cancels it, save what must not be cut (renewals: the service
    has issued a token that nobody else has)."""

    def __init__(self) -> None:
        self._running: dict[asyncio.Task[Any], bool] = {}

    def spawn(
        self, work: Coroutine[Any, Any, _T], name: str, *, finish: bool = False
    ) -> asyncio.Task[_T]:
        """``finish``: ``stop`` waits for it. The work handles its own errors; others are logged."""
        task = asyncio.create_task(work, name=name)
        self._running[task] = finish
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s failed", task.get_name(), exc_info=error)

    async def stop(self, grace_s: float) -> None:
        """Cancel the rest, give what has to finish ``grace_s``, and wait until all are gone."""
        for task, finish in list(self._running.items()):
            if not finish:
                task.cancel()
        if waiting := [task for task, finish in self._running.items() if finish]:
            await asyncio.wait(waiting, timeout=grace_s)
        left = list(self._running)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
