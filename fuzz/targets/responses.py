"""Responses requests, as ``messages``."""

from __future__ import annotations

from fuzz import requests, samples
from kiroproxy.handlers.dialects import RESPONSES


def target(data: bytes) -> None:
    requests.run(data, RESPONSES, samples.RESPONSES)


def seeds() -> list[bytes]:
    return requests.seeds(samples.RESPONSES)
