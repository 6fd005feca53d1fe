"""Every kind of sign-in against the simulator, over the real client and real files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kiroproxy.accounts import AccountManager, TokenStore, load_credentials
from kiroproxy.clock import SystemClock
from kiroproxy.errors import NoAccountError
from kiroproxy.kiro.endpoints import Overrides
from kiroproxy.simulator import Simulator
from kiroproxy.upstream.calls import CallTimeouts, KiroCalls
from kiroproxy.upstream.client import UpstreamClient
from kiroproxy.upstream.timeouts import Timeouts

QUICK = Timeouts(connect_s=5, first_byte_s=5, idle_s=5, total_s=10)


@asynccontextmanager
async def running(url: str, env: dict[str, str], folder: Path) -> AsyncIterator[AccountManager]:
    loaded = load_credentials(env, folder / "home", folder / "state")
    assert loaded.problems == []
    client, clock = UpstreamClient(), SystemClock()
    calls = KiroCalls(client, Overrides(url, url, url), CallTimeouts(QUICK, QUICK, QUICK))
    store = TokenStore(folder / "state", clock)
    manager = AccountManager(loaded.credentials, store, calls, clock)
    await manager.start()
    try:
        yield manager
    finally:
        await manager.stop()
        await client.aclose()


def renewals(simulator: Simulator) -> int:
    paths = [received.path for received in simulator.requests]
    return paths.count("/refreshToken") + paths.count("/token")


@pytest.mark.parametrize("index", range(4), ids=["social", "idc", "builder", "api_key"])
async def test_storm_rotation_and_restart(tmp_path: Path, index: int) -> None:
    simulator = Simulator()
    account = simulator.settings.accounts[index]
    env = {"KIRO_AUTH_TOKEN": json.dumps([account.entry])}
    is_key = account.kind == "api_key"
    url = await simulator.start()
    async with running(url, env, tmp_path) as manager:
        leases = await asyncio.gather(*(manager.lease("s") for _ in range(100)))
        assert renewals(simulator) == (0 if is_key else 1)
        assert len({lease.identity.token for lease in leases}) == 1
        assert leases[0].identity.builder_id == (account.kind == "builder")
        assert leases[0].model("claude-sonnet-4-5").id == "claude-sonnet-4.5"
        assert len(await manager.models()) > 3
        if not is_key:
            assert (await manager.refresh(leases[0])).was_renewed
    done = renewals(simulator)
    async with running(url, env, tmp_path) as manager:  # from the rotated token in the state folder
        lease = await manager.lease("s")
        assert renewals(simulator) == done
        if not is_key:
            assert (await manager.refresh(lease)).was_renewed
    await simulator.stop()


async def test_token_that_was_rotated_away_is_revoked_and_said_so(tmp_path: Path) -> None:
    simulator = Simulator()
    env = {"AWS_REFRESHTOKEN": "aorRotatedAwayLongAgo"}
    url = await simulator.start()
    async with running(url, env, tmp_path) as manager:
        with pytest.raises(NoAccountError, match="sign in to Kiro again"):
            await manager.lease("")
    await simulator.stop()
