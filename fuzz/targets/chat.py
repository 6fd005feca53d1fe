"""Chat Completions requests, as ``messages``."""

from __future__ import annotations

from fuzz import requests, samples
from kiroproxy.handlers.dialects import CHAT


def target(data: bytes) -> None:
    requests.run(data, CHAT, samples.CHAT)


def seeds() -> list[bytes]:
    return requests.seeds(samples.CHAT)
