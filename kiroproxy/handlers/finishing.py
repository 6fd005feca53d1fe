"""Completes what a parser had to leave open: pictures and PDFs by URL, and pictures over the limits.

Between the parser, which is pure, and the relay, which takes whole Turns. A Turn with nothing open, which
is nearly every one, costs one look at an empty list.
"""

from __future__ import annotations

import asyncio
import binascii
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Protocol

from kiroproxy.api.checks import Path, fail
from kiroproxy.api.pictures import excess, place_fetched, place_scaled
from kiroproxy.api.scaling import INSTALL, Scale
from kiroproxy.api.turn import Image, Turn, Unfinished
from kiroproxy.errors import KiroProxyError, MediaError
from kiroproxy.upstream.fetch import Fetched, Room

SETTING: Final = "KIROPROXY_FETCH_URLS"
MAX_URLS: Final = 20  # different ones, a request
FETCHED_BYTES: Final = 24_000_000  # a request: as much as a body of 32 MiB holds in base64
FETCHES_AT_ONCE: Final = 4  # a request
REQUEST_S: Final = 30.0  # all fetches of a request
_SCALED_AT_ONCE: Final = 2  # by the whole program: each may take some 200 MB


class Fetching(Protocol):
    """What fetches; ``upstream.Fetcher`` does."""

    async def fetch(self, url: str, room: Room) -> Fetched:
        """The content behind ``url``. Raises MediaError."""


class Finisher:
    """One for the whole program, made inside a running loop. ``fetcher`` None: URLs are refused.
    ``scale`` None: pictures over the limits are refused."""

    def __init__(
        self, fetcher: Fetching | None, scale: Scale | None, request_s: float = REQUEST_S
    ) -> None:
        self._fetcher = fetcher
        self._scale = scale
        self._request_s = request_s
        self._scaling = asyncio.Semaphore(_SCALED_AT_ONCE)

    async def finish(self, turn: Turn) -> None:
        """Complete the blocks in ``turn.unfinished``. Raises RequestError, which names the field."""
        if not turn.unfinished:
            return
        await self._fetch_all([item for item in turn.unfinished if item.url])
        for item in turn.unfinished:
            if isinstance(item.block, Image):
                await self._fit(item.block, item.path)
        turn.unfinished = []

    async def _fetch_all(self, items: Sequence[Unfinished]) -> None:
        if not items:
            return
        if self._fetcher is None:
            rule = f"URLs are fetched only with {SETTING}=true; send the content as base64"
            fail(items[0].path, rule)
        by_url: dict[str, list[Unfinished]] = {}
        for item in items:
            by_url.setdefault(item.url, []).append(item)
            if len(by_url) > MAX_URLS:
                fail(item.path, f"a request must not name more than {MAX_URLS} URLs")
        room, fetcher = Room(FETCHED_BYTES), self._fetcher
        places = asyncio.Semaphore(FETCHES_AT_ONCE)

        async def fetch_one(same: list[Unfinished]) -> None:
            async with places:
                await _fetch(fetcher, same, room)

        try:
            async with asyncio.timeout(self._request_s):
                await _all_of([partial(fetch_one, same) for same in by_url.values()])
        except TimeoutError:
            fail(items[0].path, f"the request's URLs were not fetched within {self._request_s:g} s")

    async def _fit(self, image: Image, path: Path) -> None:
        reason = excess(image)
        if not reason:
            return
        scale = self._scale
        if scale is None:
            fail(path, f"{reason}, which needs a part that is not installed: {INSTALL}")

        def fit() -> None:
            place_scaled(image, *scale(binascii.a2b_base64(image.data), image.format))

        try:
            async with self._scaling:
                await asyncio.to_thread(fit)
        except MediaError as error:
            fail(path, error.message)


async def _fetch(fetcher: Fetching, same: list[Unfinished], room: Room) -> None:
    """One URL, for all the blocks that name it."""
    try:
        found = await fetcher.fetch(same[0].url, room)
    except MediaError as error:
        fail(same[0].path, error.message)
    await asyncio.to_thread(_place, same, found)  # megabytes of base64


def _place(same: list[Unfinished], found: Fetched) -> None:
    for item in same:
        place_fetched(item, found.media_type, found.content)


async def _all_of(jobs: list[Callable[[], Awaitable[None]]]) -> None:
    """Run them side by side. The first of our errors ends the others and is raised as it is, not in a
    group."""
    import anyio  # here, since only requests with content by URL pay for loading it

    errors: list[KiroProxyError] = []

    async def guarded(job: Callable[[], Awaitable[None]]) -> None:
        try:
            await job()
        except KiroProxyError as error:
            errors.append(error)
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for job in jobs:
            tasks.start_soon(guarded, job)
    if errors:
        raise errors[0]
