"""Counters as plain ints; reading them costs nobody anything."""

from __future__ import annotations

import logging

_log = logging.getLogger("kiroproxy.metrics")

MAX_UNKNOWN_EVENTS = 100
"""Distinct unknown event types we remember: the names come from outside, so their number is bounded."""


class Metrics:
    """What this process has seen since it started."""

    def __init__(self) -> None:
        self.unknown_events: dict[str, int] = {}

    def count_unknown_event(self, name: str, count: int) -> None:
        """An upstream event type we do not know; logged the first time, counted always."""
        known = self.unknown_events
        if name in known:
            known[name] += count
        elif len(known) < MAX_UNKNOWN_EVENTS:
            known[name] = count
            _log.warning("unknown upstream event", extra={"fields": {"event_type": name[:80]}})
