"""What a newcomer sees: ``kiroproxy server --demo`` as a process of its own, and its page."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from anthropic import AsyncAnthropic
from playwright.async_api import Browser, expect

from tests.dashboard.support import opened

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def demo(home: Path) -> AsyncIterator[tuple[str, str]]:
    """Its address and its key, as it prints them."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kiroproxy", "server", "--demo", "--port", "0"),
        cwd=home,
        env={"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        url = (await process.stdout.readline()).decode().split(" serves on ")[1].strip()
        key = (await process.stdout.readline()).decode().removeprefix("key: ").strip()
        yield url, key
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0  # the open page holds nothing up
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_demo_page_shows_a_real_request(browser: Browser, tmp_path: Path) -> None:
    async with (
        demo(tmp_path) as (url, key),
        opened(browser, int(url.rsplit(":", 1)[1])) as at,
        AsyncAnthropic(base_url=url, api_key=key) as client,
    ):
        await expect(at.page.locator("#link")).to_have_text("Live")
        await expect(at.page.locator(".account .pill")).to_have_text("ready")
        async with client.messages.stream(
            model="claude-sonnet-4.5",
            max_tokens=500,
            messages=[{"role": "user", "content": "[[sim:text 200]] [[sim:pace 0.05]]"}],
        ) as stream:
            await expect(at.page.locator("#fig-active")).to_have_text("1")
            await stream.until_done()
        await expect(at.page.locator("#fig-active")).to_have_text("0")
        row = at.page.locator("#request-rows > tr")
        await expect(row).to_contain_text("answered")
        await expect(row).to_contain_text("AsyncAnthropic/Python")
        await expect(at.page.locator(".chart .headline").first).to_have_text("1, 0 failed")
