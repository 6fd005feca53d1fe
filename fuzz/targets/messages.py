"""Messages requests: body → Turn → the service's request, checked by the simulator's strict reader."""

from __future__ import annotations

from fuzz import requests, samples
from kiroproxy.handlers.dialects import MESSAGES


def target(data: bytes) -> None:
    requests.run(data, MESSAGES, samples.MESSAGES)


def seeds() -> list[bytes]:
    return requests.seeds(samples.MESSAGES)
