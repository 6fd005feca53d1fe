"""One account's model catalogue: fetched in the background, kept for an hour, never in the way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from kiroproxy.accounts.tasks import Tasks
from kiroproxy.clock import Clock
from kiroproxy.errors import KiroProxyError
from kiroproxy.kiro.models import FALLBACK, MAX_KNOWN_NAME, ModelInfo, offers, resolve

_log = logging.getLogger("kiroproxy.accounts")

KEEP_S: Final = 3600.0
RETRY_S: Final = 60.0
_MAX_ASKED: Final = 256


class Catalogue:
    """``models`` is the newest list that came, the built-in table before that."""

    def __init__(
        self, clock: Clock, tasks: Tasks, fetch: Callable[[], Awaitable[Sequence[ModelInfo]]]
    ) -> None:
        self.models: Sequence[ModelInfo] = FALLBACK
        self._asked: dict[str, bool] = {}  # of names: whether the list offers them
        self._resolved: dict[str, ModelInfo] = {}
        self._clock = clock
        self._tasks = tasks
        self._fetch = fetch
        self._task: asyncio.Task[None] | None = None
        self._fresh_until_s = 0.0

    @property
    def is_known(self) -> bool:
        return self.models is not FALLBACK

    def may_offer(self, name: str) -> bool:
        """Whether the list offers the model; True while it is not known."""
        if not self.is_known:
            return True
        answer = self._asked.get(name)
        if answer is None:
            answer = offers(name, self.models)
            if len(name) <= MAX_KNOWN_NAME:
                if len(self._asked) >= _MAX_ASKED:
                    self._asked.clear()
                self._asked[name] = answer
        return answer

    def resolve(self, name: str) -> ModelInfo:
        """The list's entry for a requested name; names nobody knows pass through."""
        found = self._resolved.get(name)
        if found is None:
            found = resolve(name, self.models)
            if len(name) <= MAX_KNOWN_NAME:
                if len(self._resolved) >= _MAX_ASKED:
                    self._resolved.clear()
                self._resolved[name] = found
        return found

    @property
    def is_fresh(self) -> bool:
        """Whether ``update`` has nothing to start and nothing to wait for."""
        return self.is_known and self._clock.monotonic() < self._fresh_until_s

    def forget_age(self) -> None:
        """The account refused a model of the list: fetch it again at the next chance."""
        self._fresh_until_s = min(self._fresh_until_s, self._clock.monotonic())

    async def update(self, wait_s: float) -> None:
        """Start a fetch if the list is old. Only a first fetch is waited for, at most ``wait_s``."""
        if self._task is None and self._clock.monotonic() >= self._fresh_until_s:
            self._task = self._tasks.spawn(self._load(), "model catalogue")
        if self._task is not None and not self.is_known:
            await asyncio.wait({self._task}, timeout=wait_s)

    async def _load(self) -> None:
        keep_s = RETRY_S
        try:
            models = await self._fetch()
        except KiroProxyError as error:
            _log.warning("the model catalogue could not be read: %s", error.message)
        else:
            if models:
                self.models, keep_s = list(models), KEEP_S
                self._asked.clear()
                self._resolved.clear()
        finally:
            self._fresh_until_s = self._clock.monotonic() + keep_s
            self._task = None
