"""Two servers, each a process of its own, on one state folder: they share each renewal, and kill -9 of one
at any moment loses no sign-in.

The service ends a refresh token at the first use of what came for it, so that an answer that died with
its server can be fetched again; whoever uses a token that has a successor in use is refused for good.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import orjson
import pytest

from kiroproxy.simulator import Settings, Simulator
from tests.processes import environment
from tests.test_kills import Nursery, ask, nursery

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="servers by fork"),
    pytest.mark.timeout(120),
]
ROUNDS = 16
MOST_S = 0.06  # from the end of all access tokens to the kill: about what the renewals take
LABELS = ("social", "idc")


class Server:
    """One of the two."""

    def __init__(self, nursery: Nursery) -> None:
        self._nursery = nursery
        self._pid = self._port = 0

    async def start(self) -> None:
        self._pid = await self._nursery.start()
        self._port = await self._nursery.port()

    def asked(self) -> list[asyncio.Task[str]]:
        """Requests that have been sent, enough for each account to get some."""
        return [asyncio.create_task(ask(self._port, number)) for number in range(6)]

    async def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        await self._nursery.gone()


async def test_renewals_of_two_servers_one_of_which_is_killed_again_and_again(
    tmp_path: Path,
) -> None:
    kiro = Simulator(Settings(pace_s=0, old_until_use=True, keep_requests=100_000))
    url = await kiro.start()
    try:
        await _story(kiro, url, tmp_path)
    finally:
        await kiro.stop()


async def _story(kiro: Simulator, url: str, tmp_path: Path) -> None:
    rand = random.Random(20_262)
    more = {"TOKEN_SELECTION_STRATEGY": "round_robin"}
    given = environment(tmp_path, url, kiro.demo_credentials(*LABELS), **more)
    async with AsyncExitStack() as stack:
        both = [Server(await stack.enter_async_context(nursery(given, tmp_path))) for _ in range(2)]
        for server in both:
            await server.start()
        for number in range(ROUNDS):
            # Nobody is at work now: a token that ends again while it is renewed is another story.
            for label in LABELS:
                kiro.tokens.expire_access(label)
            dying, staying = both[number % 2], both[1 - number % 2]
            cut, answers = dying.asked(), staying.asked()
            if number % 4:  # in some rounds nobody dies, and all renewals are shared
                await asyncio.sleep(rand.uniform(0, MOST_S))
                await dying.kill()
                await asyncio.gather(*cut, return_exceptions=True)
                await dying.start()
                cut = dying.asked()
            assert set(await asyncio.gather(*answers, *cut)) == {"ok"}
        for server in both:
            await server.kill()
    _check(kiro, tmp_path / "state")


def _check(kiro: Simulator, state: Path) -> None:
    asked = kiro.received("refresh")
    assert {entry.status for entry in asked} <= {200, None}  # None: its server was killed meanwhile
    assert not any(entry.violations for entry in asked)
    used = Counter(entry.json["refreshToken"] for entry in asked)
    kills = ROUNDS * 3 // 4
    assert {entry.account for entry in kiro.received("chat")[-12:]} == set(LABELS)
    # A token is used again only where what came for it died with its server.
    assert sum(used.values()) - len(used) <= kills
    # One renewal serves both servers: at most one for each sign-in and each end of its access tokens.
    assert len(used) <= len(LABELS) * (ROUNDS + 1)
    records = [orjson.loads(path.read_bytes()) for path in (state / "credentials").glob("*.json")]
    stored = [record["refreshToken"] for record in records if "refreshToken" in record]
    owners = [kiro.tokens.by_refresh(token) for token in stored]
    assert sorted(owner.label for owner in owners if owner) == sorted(LABELS)
