"""One browser for all tests of a module; every test has a profile of its own in it."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright

from tests.dashboard.support import CHROMIUM, FLAGS


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """As everywhere, but for as long as the browser lives: it belongs to one event loop."""
    return "asyncio"


@pytest.fixture(scope="module")
async def browser(anyio_backend: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield started
        await started.close()
