"""One simulator, one proxy and one home for each test; see ``harness`` for the programs."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kiroproxy.simulator import Settings, Simulator
from tests.clients.harness import CLAUDE, CLIENTS, Claude, Proxy, sign_in


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.clients)


@pytest.fixture
async def kiro() -> AsyncIterator[Simulator]:
    """The service, on a free port. It refuses what the real one refuses, and no test of real clients
    may lead to such a request; only faults that a test orders are there."""
    simulator = Simulator(
        Settings(pace_s=0.001)
    )  # every event a read of its own, without long waits
    await simulator.start()
    yield simulator
    breaches = [str(breach) for entry in simulator.received("chat") for breach in entry.violations]
    await simulator.stop()
    assert breaches == []


@pytest.fixture
async def kiro_url(kiro: Simulator) -> str:
    """Where it listens, from now on."""
    return await kiro.start()


@pytest.fixture
async def proxy(kiro: Simulator, kiro_url: str, tmp_path: Path) -> AsyncIterator[Proxy]:
    """The server under test, signed in with one social account."""
    running = await Proxy.start(tmp_path / "proxy", sign_in(kiro, kiro_url, "social"))
    yield running
    await running.stop()


@pytest.fixture
def claude(proxy: Proxy, tmp_path: Path) -> Claude:
    """Claude Code, pointed at the proxy."""
    need(CLAUDE)
    return Claude(tmp_path / "claude", proxy.url)


@pytest.fixture
def node_modules() -> Path:
    """Where the Node SDK is installed."""
    need(CLIENTS / "@anthropic-ai" / "sdk")
    return CLIENTS


def need(path: Path) -> None:
    """Without the real clients there is nothing to test, which is a failure where it must not happen."""
    if path.exists():
        return
    if os.environ.get("CI"):
        pytest.fail(f"{path} is missing: `make clients` installs the real clients")
    pytest.skip("the real clients are not installed: run `make clients`")
