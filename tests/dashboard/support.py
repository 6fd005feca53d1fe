"""A headless Chromium in front of a running house."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, Page, Request

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",  # CI is root in a container of its own, and the only pages are ours
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A name that is not loopback's, for what people see who come from another machine.
    "--host-resolver-rules=MAP proxy.test 127.0.0.1",
)
DESKTOP = (1280, 900)
PHONE = (360, 740)


@dataclass
class Watched:
    """A page, with what it did that nobody saw."""

    page: Page
    origin: str
    complaints: list[str] = field(default_factory=list)
    """Console errors (a breach of the policy is one) and exceptions."""
    elsewhere: list[str] = field(default_factory=list)
    """Requests to any other origin."""

    def listen(self) -> None:
        self.page.on("console", lambda m: m.type == "error" and self.complaints.append(m.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._on_request)

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith(self.origin + "/"):
            self.elsewhere.append(request.url)


@asynccontextmanager
async def opened(
    browser: Browser,
    port: int,
    *,
    host: str = "127.0.0.1",
    size: tuple[int, int] = DESKTOP,
    quiet: bool = True,
    **context: Any,
) -> AsyncIterator[Watched]:
    """The dashboard in a fresh profile. ``quiet``: that it neither complained nor went elsewhere is
    part of every test, but for those that refuse or cut it."""
    profile = await browser.new_context(
        viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce", **context
    )
    try:
        watched = Watched(await profile.new_page(), f"http://{host}:{port}")
        watched.listen()
        watched.page.set_default_timeout(15_000)
        await watched.page.goto(watched.origin + "/")
        yield watched
        assert watched.elsewhere == []
        if quiet:
            assert watched.complaints == []
    finally:
        await profile.close()
